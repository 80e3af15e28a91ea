"""What a dataset.json or its folder names, counts or holds is used, or its disuse is a line."""

import json
import unicodedata
from dataclasses import replace

import pytest

from trials.data.datasets.opening import find_dataset
from trials.data.datasets.registry import default_scheme, num_folds, split_cases
from trials.data.datasets.splits import explain
from trials.data.nifti.opening import ENDINGS
from trials.data.prepared.set_checks import split_faults
from trials.data.prepared.set_summary import CaseLook

V2 = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "numTraining": 10,
    "file_ending": ".nii.gz",
}
V1 = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}, "numTraining": 10}
TEN = [f"toy_{number}" for number in range(10)]


def folder(root, facts, names=TEN, part="Tr", suffix="_0000", ending=".nii.gz"):
    """A folder with empty files: a data set is found by names alone."""
    for kind, end in (("images", suffix), ("labels", "")):
        (root / f"{kind}{part}").mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / f"{kind}{part}" / f"{name}{end}{ending}").touch()
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


def opened(root):
    """The data set, and the messages of its warnings and of its faults."""
    dataset = find_dataset("nnunet", root)
    told = {level: [] for level in ("warning", "bad case", "fatal")}
    for fault in dataset.faults:
        told[fault.level].append(fault.message)
    return dataset, told


def counted(dataset):
    return replace(dataset, class_voxels={case.case: (1, 1, 1) for case in dataset.cases})


def parts(dataset, fold=0):
    split = split_cases(counted(dataset), default_scheme(dataset), fold)
    return set(split.train), set(split.val), set(split.test), set(split.excluded)


def test_files_of_a_second_ending_are_used_and_named(tmp_path):
    folder(tmp_path, V2, TEN[:5], ending=".nii")
    dataset, told = opened(folder(tmp_path, V2, TEN[5:]))

    assert [case.case for case in dataset.cases] == TEN
    assert told["warning"] == [
        "'file_ending' is .nii.gz, but files end otherwise and are used: 10, first "
        "imagesTr/toy_0_0000.nii"
    ]


def test_one_case_in_two_endings_is_a_fault(tmp_path):
    folder(tmp_path, V2)
    (tmp_path / "labelsTr" / "toy_3.nii").touch()

    _, told = opened(tmp_path)

    assert told["fatal"] == ["has the name of toy_3.nii.gz but for its ending"]


@pytest.mark.parametrize("facts", [V2, V1 | {"training": []}], ids=["found", "listed"])
def test_a_wrong_count_is_named(tmp_path, facts):
    if "training" in facts:
        facts = facts | {"training": [listed(name) for name in TEN[:8]], "numTest": 3}
    dataset, told = opened(folder(tmp_path, facts, TEN[:8]))

    assert len(dataset.cases) == 8
    test = ["'numTest' is 3, but 0 test images are here"] if "numTest" in facts else []
    assert told["warning"] == ["'numTraining' is 10, but 8 cases are here", *test]


@pytest.mark.parametrize("modality", ["CT", {"0": "CT"}, ["CT"]])
def test_one_channel_may_be_named_as_text(tmp_path, modality):
    facts = V1 | {"modality": modality, "training": [listed(TEN[0])]}
    dataset, _ = opened(folder(tmp_path, facts, TEN[:1]))

    assert dataset.channels == ("CT",)


def test_a_normalisation_that_is_not_done_is_named(tmp_path):
    _, told = opened(folder(tmp_path, V2 | {"channel_names": {"0": "noNorm"}}))

    assert told["warning"] == [
        "channels are normalised by mean and deviation, whatever they ask for: noNorm"
    ]


def test_files_that_nobody_reads_are_named(tmp_path):
    lines = [f"{name},{name}" for name in (*TEN, "gone", "lost")]
    (tmp_path / "patients.csv").write_text("\n".join(["case,patient", *lines]))
    folder(tmp_path, V1 | {"training": [listed(name) for name in TEN[:9]], "test": ["x.nii.gz"]})
    (tmp_path / "imagesTr" / "notes.png").touch()
    (tmp_path / "imagesVal").mkdir()
    (tmp_path / "imagesTs").mkdir()
    (tmp_path / "imagesTs" / "new.nii.gz").touch()

    _, told = opened(tmp_path)

    assert told["warning"] == [
        "'numTraining' is 10, but 9 cases are here",
        "images without a mask are not used: 2, first x.nii.gz",
        "files belong to no case that dataset.json lists and are not used: 2, first "
        "imagesTr/toy_9_0000.nii.gz",
        f"files do not end in one of {', '.join(ENDINGS)} and are not used: imagesTr/notes.png",
        "folders are not read: imagesVal",
        "names cases that are not here and are not used: 3, first gone",
    ]


def listed(name, **more):
    return {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz", **more}


@pytest.mark.parametrize("facts", [V1, V2], ids=["v1", "v2 that keeps training"])
def test_a_list_of_nnunet_v1_means_the_files_with_suffix(tmp_path, facts):
    root = folder(tmp_path, facts | {"training": [listed(name) for name in TEN]})

    dataset, told = opened(root)

    assert [case.image.name for case in dataset.cases] == [f"{name}_0000.nii.gz" for name in TEN]
    assert told == {"warning": [], "bad case": [], "fatal": []}


def test_the_dataset_key_names_files_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "b"))
    folder(tmp_path / "b", V2)
    cases = {
        name: {
            "images": [f"$ELSEWHERE/imagesTr/{name}_0000.nii.gz"],
            "label": f"../b/labelsTr/{name}.nii.gz",
        }
        for name in TEN
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "dataset.json").write_text(
        json.dumps({key: V2[key] for key in V2 if key != "file_ending"} | {"dataset": cases})
    )

    dataset, told = opened(tmp_path / "a")

    assert [case.case for case in dataset.cases] == TEN
    assert told["warning"] == [
        f"'dataset' names files outside of the folder: 20, first {tmp_path}/b/imagesTr/"
        "toy_0_0000.nii.gz"
    ]


def test_links_are_followed_wherever_they_lead(tmp_path):
    folder(tmp_path / "store", V2)
    (tmp_path / "data").mkdir()
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "store" / name)
    for facts in (V2, V1 | {"training": [listed(name) for name in TEN]}):
        (tmp_path / "data" / "dataset.json").write_text(json.dumps(facts))

        dataset, told = opened(tmp_path / "data")

        assert [case.case for case in dataset.cases] == TEN
        assert not told["fatal"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_json_of_windows_is_read(tmp_path, encoding):
    root = folder(tmp_path, V2)
    splits = [{"train": TEN[:8], "val": TEN[8:]}]
    (root / "splits_final.json").write_text(json.dumps(splits), encoding=encoding)
    (root / "dataset.json").write_text(json.dumps(V2), encoding=encoding)

    dataset, told = opened(root)

    assert len(dataset.cases) == 10
    assert len(dataset.own_splits) == 1
    assert not told["warning"]


def test_an_image_without_its_channel_is_named_with_its_new_name(tmp_path):
    folder(tmp_path, V2)
    (tmp_path / "imagesTr" / "toy_4_0000.nii.gz").rename(tmp_path / "imagesTr" / "toy_4.nii.gz")

    dataset, _ = opened(tmp_path)

    (fault,) = (fault for fault in dataset.faults if fault.level != "warning")
    assert (fault.case, fault.fix) == ("toy_4", "rename toy_4.nii.gz to toy_4_0000.nii.gz")


def test_names_of_people_are_taken_composed(tmp_path):
    names = ["fdg 01  (primär), a+b", "UPPER.CASE", "é" * 100, "=cmd", "<b>", "日本", "a\u00a0b"]
    stored = [unicodedata.normalize("NFD", name) for name in names[:2]] + names[2:]
    root = folder(tmp_path, V2 | {"numTraining": 7}, stored)
    (root / "splits_final.json").write_text(json.dumps([{"train": names[:5], "val": names[5:]}]))

    dataset, told = opened(root)

    assert [case.case for case in dataset.cases] == sorted(names)
    assert told == {"warning": [], "bad case": [], "fatal": []}
    assert parts(dataset)[2] == {"日本", "a\u00a0b"}


def test_a_fold_without_test_cases_tests_on_its_val_and_validates_on_a_fifth_of_its_train(tmp_path):
    root = folder(tmp_path, V2)
    folds = [{"train": TEN[2:], "val": TEN[:2]}, {"train": TEN[:5], "val": TEN[5:9]}]
    (root / "splits_final.json").write_text(json.dumps(folds))

    dataset, _ = opened(root)

    assert (default_scheme(dataset), num_folds(dataset, "own")) == ("own", 2)
    train, val, test, excluded = parts(dataset)
    assert test == set(TEN[:2])
    assert (len(val), train | val, excluded) == (2, set(TEN[2:]), set())
    train, val, test, excluded = parts(dataset, 1)
    assert (test, len(val), excluded) == (set(TEN[5:9]), 1, {"toy_9"})
    assert explain(dataset, "own", 1) == (
        "fold 1 of the data set's own 2: its val is the test part, and a fifth of its train "
        "validates"
    )
    with pytest.raises(ValueError, match=r"folds 0\.\.1; got 2"):
        parts(dataset, 2)


def test_labels_for_the_test_are_the_test_part(tmp_path):
    folder(tmp_path, V2)
    root = folder(tmp_path, V2, ["new_1", "new_2"], part="Ts")
    (root / "imagesTs" / "new_3_0000.nii.gz").touch()

    dataset, told = opened(root)

    assert dataset.published == 12
    assert told["warning"] == ["images without a mask are not used: imagesTs/new_3_0000.nii.gz"]
    assert num_folds(dataset, "own") == 5
    seen = [parts(dataset, fold) for fold in range(5)]
    assert all(test == {"new_1", "new_2"} for _, _, test, _ in seen)
    assert set.union(*(val for _, val, _, _ in seen)) == set(TEN)
    (root / "splits_final.json").write_text(json.dumps([{"train": TEN[:8], "val": TEN[8:]}]))
    assert parts(opened(root)[0]) == (set(TEN[:8]), set(TEN[8:]), {"new_1", "new_2"}, set())


def test_lists_for_validation_and_numbered_folds_are_own_splits(tmp_path):
    lists = {
        "training": [listed(name) for name in TEN[:7]],
        "validation": [listed(name) for name in TEN[7:]],
    }
    dataset, told = opened(folder(tmp_path / "a", V1 | lists))
    folds = {"training": [listed(name, fold=int(name[-1]) % 3) for name in TEN]}
    numbered, _ = opened(folder(tmp_path / "b", V1 | folds))

    assert parts(dataset)[2] == set(TEN[7:])
    assert not told["warning"]
    assert num_folds(numbered, "own") == 3
    assert parts(numbered, 1)[2] == {"toy_1", "toy_4", "toy_7"}


@pytest.mark.parametrize(
    ("folds", "level", "told"),
    [
        ([{"train": TEN, "val": TEN[:1]}], "fatal", "fold 0 names toy_0 in two parts: a leak"),
        ([{"train": TEN, "val": ["gone"]}], "bad case", "names gone, which the folder"),
        ({"train": TEN}, "fatal", "must be a list of folds"),
        ([], "fatal", "must be a list of folds"),
    ],
)
def test_a_split_that_leaks_or_names_others_is_a_fault(tmp_path, folds, level, told):
    root = folder(tmp_path, V2)
    (root / "splits_final.json").write_text(json.dumps(folds))

    assert told in opened(root)[1][level][0]


def test_a_fold_that_divides_a_patient_is_a_fault_of_the_check(tmp_path):
    names = [f"patient{number:03d}_frame{frame:02d}" for number in range(5) for frame in (1, 9)]
    root = folder(tmp_path, V2, names)
    folds = [{"train": names[end:], "val": names[:end]} for end in (4, 3)]
    (root / "splits_final.json").write_text(json.dumps(folds))
    dataset = find_dataset("nnunet", root)
    look = CaseLook(shape=(1, 1, 1), spacing_mm=(1, 1, 1), present=(True, True, True))

    (fault,) = split_faults(dataset, dict.fromkeys(names, look))

    assert fault.level == "fatal"
    assert "patient patient001 has patient001_frame09 in train and" in fault.message


def test_a_link_that_leads_nowhere_is_not_taken_for_nothing(tmp_path):
    root = folder(tmp_path, V2)
    (root / "labelsTs").symlink_to("gone")
    (root / "splits_final.json").symlink_to("gone.json")

    _, told = opened(root)

    assert told["warning"] == ["are no folders and are not read: labelsTs"]
    assert told["fatal"] == ["is a link that leads nowhere"]
    (root / "patients.csv").symlink_to("gone.csv")
    with pytest.raises(ValueError, match=r"patients.csv is a link that leads nowhere; it must say"):
        find_dataset("nnunet", root)


def test_a_case_in_two_parts_is_a_leak(tmp_path):
    folder(tmp_path, V2)
    root = folder(tmp_path, V2, ["toy_1"], part="Ts")

    assert opened(root)[1]["fatal"] == ["toy_1 is a case for test and for train: a leak"]


def test_pickled_splits_are_named_and_not_read(tmp_path):
    root = folder(tmp_path, V2)
    (root / "splits_final.pkl").touch()

    assert opened(root)[1]["warning"] == [
        "splits_final.pkl is a pickle and is not read; write its folds as splits_final.json"
    ]
