"""Other people's data sets: both layouts read, and every unfit one refused by the key at fault."""

import json
from pathlib import Path

import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, save, turned

from trials.data.datasets.opening import find_dataset, open_dataset
from trials.data.datasets.registry import split_cases
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.native_grid import native_labels
from trials.records.spec import Cube
from trials.scoring.regions import scored_regions

NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "numTraining": 6,
    "file_ending": ".nii.gz",
}
DECATHLON = {
    "name": "Toy",
    "modality": {"0": "CT"},
    "licence": "CC-BY-SA 4.0",
    "labels": {"0": "background", "1": "liver", "2": "tumour"},
    "numTraining": 6,
}


def write_case(root, image, labels, seed):
    """A three-class case whose axes run to the right, the front and the head, as most of these
    files do.
    """
    save(root / "imagesTr" / image, *turned(asymmetric(seed=seed), IPL, "RAS"))
    save(root / "labelsTr" / labels, *turned(blocks(seed=seed) % 3, IPL, "RAS"))


def nnunet_folder(root, number=6, **changes):
    for index in range(number):
        write_case(root, f"toy_{index}_0000.nii.gz", f"toy_{index}.nii.gz", index)
    (root / "dataset.json").write_text(json.dumps({**NNUNET, **changes}))
    return root


def decathlon_folder(root, number=6, **changes):
    for index in range(number):
        write_case(root, f"toy_{index}.nii.gz", f"toy_{index}.nii.gz", index)
    (root / "imagesTr" / "._toy_0.nii.gz").touch()
    listed = [
        {"image": f"./imagesTr/toy_{i}.nii.gz", "label": f"./labelsTr/toy_{i}.nii.gz"}
        for i in range(number)
    ]
    (root / "dataset.json").write_text(json.dumps({**DECATHLON, "training": listed, **changes}))
    return root


@pytest.mark.parametrize("write", [nnunet_folder, decathlon_folder])
def test_both_layouts_open_alike(tmp_path, write):
    dataset = open_dataset("nnunet", write(tmp_path))

    assert [case.case for case in dataset.cases] == [f"toy_{index}" for index in range(6)]
    assert dataset.classes == ("background", "liver", "tumour")
    assert dataset.published == 6
    assert all(case.image.is_file() and case.labels.is_file() for case in dataset.cases)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "liver": 1, "tumour": "2", "ignore": 3},
        {"0": "background", "1": "liver", "2": "tumour", "3": "ignore"},
    ],
)
def test_the_highest_label_named_ignore_is_no_class(tmp_path, labels):
    dataset = open_dataset("nnunet", nnunet_folder(tmp_path, 1, labels=labels))

    assert dataset.classes == ("background", "liver", "tumour")
    assert (dataset.has_ignore, dataset.labels.num_labels) == (True, 4)


def test_regions_are_unions_of_labels_in_the_order_of_the_file(tmp_path):
    labels = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [3, 2], "enhancing": 3}
    order = {"regions_class_order": [1, 2, 3]}

    dataset = open_dataset("nnunet", nnunet_folder(tmp_path, 1, labels=labels, **order))

    assert dataset.classes == ("background", "label 1", "label 2", "enhancing")
    assert [(region.name, region.labels) for region in dataset.regions] == [
        ("whole tumor", (1, 2, 3)),
        ("tumor core", (2, 3)),
        ("enhancing", (3,)),
    ]
    assert dataset.class_order == (1, 2, 3)
    assert [region.name for region in scored_regions(dataset.labels, ())] == [
        "whole tumor",
        "tumor core",
        "enhancing",
        "label 1",
        "label 2",
    ]


def test_the_channels_of_a_case_are_its_files_in_the_order_of_their_numbers(tmp_path):
    nnunet_folder(tmp_path, 2, numTraining=2, channel_names={"1": "PET", "0": "CT", "2": "T1"})
    for name in ("toy_0_0001", "toy_0_0002", "toy_0_0003", "toy_1_0002"):
        save(tmp_path / "imagesTr" / f"{name}.nii.gz", asymmetric())

    dataset = find_dataset("nnunet", tmp_path)

    assert dataset.channels == ("CT", "PET", "T1")
    (case,) = dataset.cases
    assert [path.name[:10] for path in case.images] == ["toy_0_0000", "toy_0_0001", "toy_0_0002"]
    assert sorted((fault.case, fault.code, Path(fault.file).name) for fault in dataset.faults) == [
        ("toy_0", "channels", "toy_0_0003.nii.gz"),
        ("toy_1", "missing", "toy_1_0001.nii.gz"),
    ]


def test_the_licence_is_taken_over(tmp_path):
    assert open_dataset("nnunet", decathlon_folder(tmp_path)).licence == "CC-BY-SA 4.0"


def test_uncompressed_files_are_found_by_their_ending(tmp_path):
    save(tmp_path / "imagesTr" / "a_0000.nii", asymmetric())
    save(tmp_path / "labelsTr" / "a.nii", blocks())
    (tmp_path / "dataset.json").write_text(json.dumps({**NNUNET, "file_ending": ".nii"}))

    assert [case.case for case in open_dataset("nnunet", tmp_path).cases] == ["a"]


def test_a_three_class_ras_set_goes_all_the_way(tmp_path):
    dataset = open_dataset("nnunet", nnunet_folder(tmp_path / "data"))

    cache = open_cache(prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1))
    split = split_cases(cache.dataset, "seeded", 0)

    record = cache.cases["toy_3"]
    assert record.shape == (11, 14, 9)
    assert record.file_shape == (9, 14, 11)
    assert np.array_equal(native_labels(record), blocks(seed=3) % 3)
    assert len(record.class_voxels) == 3
    assert len({*split.train, *split.val, *split.test}) == 6
    assert split == split_cases(dataset, "seeded", 0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"channel_names": {"0": "T1", "2": "T2"}}, "channels must be numbered 0, 1, 2"),
        (
            {"channel_names": dict.fromkeys(map(str, range(65)), "T1")},
            "at most 64 channels; got 65",
        ),
        ({"channel_names": {}}, "key 'channel_names'"),
        (
            {"labels": {"background": 0, "whole": [1, 2], "core": 2}},
            r"'regions_class_order' must hold a label of each region \(whole, core\), .* got None",
        ),
        (
            {
                "labels": {"background": 0, "whole": [1, 2], "core": 2},
                "regions_class_order": [1, 1],
            },
            r"'regions_class_order' .* got \[1, 1\]",
        ),
        ({"labels": {"background": 0, "whole": [0, 1]}}, "'whole' must not hold the background"),
        ({"labels": {"background": 0, "whole": [1, "x"]}}, "'whole' must have a whole number"),
        ({"labels": {"background": 0, "a": 1, "b": [1]}}, r"gives \[1\] two names"),
        ({"labels": {"background": 0, "ignore": 1, "liver": 2}}, "'ignore' must be the highest, 2"),
        ({"labels": {"background": 0, "ignore": 1}}, "the background and a class"),
        (
            {"labels": {"background": 0, "tumour": 2}},
            r"without gaps, 0 the background; got \[0, 2\]",
        ),
        ({"labels": {"liver": 1, "tumour": 2}}, r"without gaps, 0 the background; got \[1, 2\]"),
        ({"labels": {"background": 0}}, "the background and a class"),
        ({"labels": {"background": 0, "liver": 0.5}}, "'liver' must have a whole number"),
        ({"labels": ["background", "liver"]}, "key 'labels'"),
        ({"file_ending": ".png"}, "key 'file_ending' must be one of .nii.gz, .nii, .*; got '.png'"),
    ],
)
def test_an_unfit_dataset_json_is_refused_by_its_key(tmp_path, changes, word):
    with pytest.raises(ValueError, match=rf"dataset.json: .*{word}"):
        open_dataset("nnunet", nnunet_folder(tmp_path, 1, **changes))


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (
            {"image": "../../x/a.nii.gz", "label": "./labelsTr/toy_0.nii.gz"},
            "must lie inside the folder",
        ),
        (
            {"image": "/etc/a.nii.gz", "label": "./labelsTr/toy_0.nii.gz"},
            "must lie inside the folder",
        ),
        (
            {"image": "imagesTr/a.png", "label": "labelsTr/a.png"},
            "must end in one of .nii.gz",
        ),
        (
            {"image": "imagesTr/toy_0.nii.gz", "label": "labelsTr/a\u202eb.nii.gz"},
            "case names are up to 200",
        ),
        ({"image": "imagesTr/toy_0.nii.gz"}, "must have 'image' and 'label'"),
        ({"image": "imagesTr/toy_0.nii.gz", "label": {}}, "each a file's path; got {'image'"),
    ],
)
def test_a_listed_file_of_another_place_or_kind_is_refused(tmp_path, entry, word):
    with pytest.raises(ValueError, match=rf"dataset.json: .*{word}"):
        open_dataset("nnunet", decathlon_folder(tmp_path, 1, training=[entry]))


def test_a_case_listed_twice_is_refused(tmp_path):
    entry = {"image": "imagesTr/toy_0.nii.gz", "label": "labelsTr/toy_0.nii.gz"}

    with pytest.raises(ValueError, match="names a case twice"):
        open_dataset("nnunet", decathlon_folder(tmp_path, 1, training=[entry, entry]))


def test_missing_images_and_masks_are_named_together(tmp_path):
    nnunet_folder(tmp_path, 3)
    (tmp_path / "imagesTr" / "toy_0_0000.nii.gz").unlink()
    (tmp_path / "labelsTr" / "toy_2.nii.gz").unlink()

    with pytest.raises(
        ValueError,
        match=r"imagesTr/toy_0_0000.nii.gz: is missing; .*labelsTr/toy_2.nii.gz: is missing",
    ):
        open_dataset("nnunet", tmp_path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "holds no dataset.json"),
        ("{", "not valid JSON"),
        ("[]", "key 'labels'"),
        ('{"labels": {"background": 0, "liver": 1, "liver": 2}}', "key 'liver' stands there twice"),
    ],
)
def test_a_folder_without_a_sound_dataset_json_is_refused(tmp_path, content, word):
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)

    with pytest.raises(ValueError, match=word):
        open_dataset("nnunet", tmp_path)
