"""Finding cases: what is there, what is missing, and what is none of ours."""

import subprocess
import sys

import pytest

from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import DATASETS, Dataset
from trials.records.registry import Entry


def layout(root, names, files=("imaging.nii.gz", "segmentation.nii.gz")):
    """Empty files in the layout of KiTS23: finding cases opens none of them."""
    for name in names:
        (root / name).mkdir(parents=True)
        for file in files:
            (root / name / file).touch()
    return root


def test_reading_the_registry_loads_the_standard_library_only():
    script = (
        "import sys; before = set(sys.modules); import trials.data.datasets.registry; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - set(sys.stdlib_module_names) - {'trials'}))"
    )

    foreign = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert foreign == []


@pytest.mark.parametrize("name", DATASETS)
def test_every_part_of_every_data_set_can_be_loaded(name):
    part = DATASETS[name]

    assert callable(part.load())
    assert all(callable(Entry(target).load()) for target in part.splits.values())
    assert part.splits.keys() == part.folds.keys()
    assert part.default_splits in part.splits
    assert part.how_to_get
    assert not part.generate or callable(Entry(part.generate).load())


@pytest.mark.parametrize("name", ["kits23", "phantoms"])
def test_cases_are_found_in_order_and_everything_else_is_ignored(tmp_path, name):
    layout(tmp_path, ["case_00400", "case_00002", "case_00299"])
    layout(tmp_path, [".case_00005"])
    layout(tmp_path, ["instances", "case_1", "case_0000x"], files=("kidney_instance-1.nii.gz",))
    (tmp_path / "kits23.json").write_text("[]")
    (tmp_path / "case_00007").touch()
    (tmp_path / "case_00002" / "instances").mkdir()
    (tmp_path / "case_00002" / ".suppl.tumor_instance-1.nii.gz").touch()

    dataset = open_dataset(name, tmp_path)

    assert isinstance(dataset, Dataset)
    assert [case.case for case in dataset.cases] == ["case_00002", "case_00299", "case_00400"]
    assert dataset.cases[0].image == tmp_path / "case_00002" / "imaging.nii.gz"
    assert dataset.cases[0].labels == tmp_path / "case_00002" / "segmentation.nii.gz"
    assert dataset.classes == ("background", "kidney", "tumor", "cyst")


def test_kits23_knows_how_many_cases_it_has_in_full_and_its_licence(tmp_path):
    dataset = open_dataset("kits23", layout(tmp_path, ["case_00000"]))

    assert dataset.published == 489
    assert dataset.licence == "CC BY-NC-SA 4.0"


def test_every_missing_file_is_named_on_one_line(tmp_path):
    layout(tmp_path, ["case_00001"])
    layout(tmp_path, ["case_00007"], files=("imaging.nii.gz",))
    layout(tmp_path, ["case_00009"], files=())

    with pytest.raises(ValueError, match="has 3 faults") as caught:
        open_dataset("kits23", tmp_path)

    message = str(caught.value)
    for lacking in (
        "case_00007/segmentation.nii.gz",
        "case_00009/imaging.nii.gz",
        "case_00009/segmentation.nii.gz",
    ):
        assert f"{lacking}: is missing; fetch it again" in message
    assert "\n" not in message


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    layout(tmp_path, ["case_00001"], files=("imaging.nii.gz",))
    (tmp_path / "case_00001" / "segmentation.nii.gz").symlink_to(tmp_path / "nowhere")

    with pytest.raises(
        ValueError, match=r"case_00001/segmentation.nii.gz: is a link that leads nowhere"
    ):
        open_dataset("kits23", tmp_path)


@pytest.mark.parametrize("name", ["case_00300", "case_00399", "case_00589", "case_99999"])
def test_an_id_that_kits23_never_gave_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: cannot be a KiTS23 case"):
        open_dataset("kits23", layout(tmp_path, [name]))


def test_a_missing_or_empty_folder_says_how_to_get_the_data(tmp_path):
    with pytest.raises(ValueError, match=r"is not a folder.*--download"):
        open_dataset("kits23", tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"holds no case of kits23.*--download"):
        open_dataset("kits23", tmp_path)


def test_an_unknown_data_set_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean 'kits23'.*known: kits23, nnunet, phantoms"):
        open_dataset("kits32", tmp_path)
