"""segbench init: a grid for one's own data that runs as written; planned for GPUs that are away."""

import json
import re
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from nifti_toys import asymmetric, blocks, save

from bench.cli import main
from bench.grid.user_file import load_grid
from bench.grid.validate import check_grid
from bench.grids import LOSSES, Cube, Spacing
from bench.init.fit import OwnData, fit, sized
from trials.data.datasets.registry import Dataset, Split
from trials.data.spacing.plan import NativeGrid

LABELS = {"background": 0, "liver": 1, "spleen": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Twelve small cases in nnU-Net's layout, of which one has no spleen, and the grid of init."""
    place = tmp_path_factory.mktemp("init")
    for seed in range(12):
        mask = blocks(seed=seed) % (3 if seed else 2)
        save(place / "livers" / "imagesTr" / f"scan_{seed:02}_0000.nii.gz", asymmetric(seed=seed))
        save(place / "livers" / "labelsTr" / f"scan_{seed:02}.nii.gz", mask)
    facts = {"channel_names": {"0": "CT"}, "labels": LABELS, "file_ending": ".nii.gz"}
    (place / "livers" / "dataset.json").write_text(json.dumps(facts))
    with chdir(place):
        assert main(["init", "livers", "--gpus", "2", "--workers", "1"]) == 0
    return place


def test_the_grid_tells_what_the_data_hold_and_is_valid_as_written(place):
    grid, text = load_grid(str(place / "my_grid.py"))
    check_grid(grid)

    rows = [line.split()[:6] for line in text.splitlines() if line[:2] in ("0 ", "1 ", "2 ")]
    assert [row[:3] for row in rows] == [
        ["0", "background", "12"],
        ["1", "liver", "12"],
        ["2", "spleen", "11"],
    ]
    assert all(int(row[2]) == sum(map(int, row[3:])) for row in rows)
    assert "12 cases; 12 patients" in text
    assert "6 training, 3 validation and 3 test patients" in text
    assert "segbench plan --grid my_grid.py --data livers" in text
    assert "in 24 hours on 2 GPUs like one NVIDIA H200" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert (grid.name, grid.dataset, grid.seeds) == ("my_grid", "nnunet", (0, 1, 2))
    # The cube holds the largest axis, and small networks on it afford all epochs.
    assert grid.recipes["3d"].preparation == Cube(edge=32)
    assert (grid.recipes["3d"].epochs, grid.tuning.epochs) == (100, 30)


def test_a_file_is_never_overwritten(place, capsys):
    before = (place / "my_grid.py").read_bytes()

    with chdir(place):
        assert main(["init", "livers", "--gpus", "1"]) == 2

    assert "my_grid.py exists, and init never overwrites a file" in capsys.readouterr().err
    assert (place / "my_grid.py").read_bytes() == before


def test_the_grid_is_planned_for_gpus_that_are_not_here(place, capsys):
    import ray

    asked = ["plan", "--grid", "my_grid.py", "--data", "livers"]
    with chdir(place):
        assert main([*asked, "--gpus", "3", "--like", "nvidia h200"]) == 0

    lines = capsys.readouterr().out.splitlines()
    words, text = [line.split() for line in lines], " ".join(lines)
    cells = [line for line in words if line[:1] == ["unet3d"] and line[1] != "trains"]
    assert [line[3] for line in cells] == ["11", "11"]
    assert "these are another machine's figures, of one NVIDIA H200" in text
    assert " GPUs; planned for 3" in text
    with chdir(place):
        assert main(["run", "--grid", "my_grid.py", "--data", "livers", "--dry-run"]) == 0
        dry = capsys.readouterr()
        assert main(["check", "livers", "--workers", "1"]) == 0
    assert not ray.is_initialized()
    # Words of the data that the ready grids are for stand with those data alone.
    told = [*dry, *capsys.readouterr(), text, (place / "my_grid.py").read_text()]
    assert not re.search("(?i)kits|kidney|the paper|the study", " ".join(told))
    # Three test patients are too few; folds would test all twelve.
    advice = "With folds each of the 12 patients is tested once, and p can be small enough"
    assert advice in text
    assert advice in dry.out
    with chdir(place):
        assert main([*asked, "--gpus", "3"]) == 2
        assert main([*asked, "--like", "NVIDIA H20"]) == 2
    told = capsys.readouterr().err
    assert "--gpus N plans for GPUs that are not here, so it needs --like" in told
    assert "unknown GPU 'NVIDIA H20'; did you mean 'NVIDIA H200'? known: NVIDIA H200" in told


def test_a_loss_that_does_not_fit_is_refused_by_plan_and_run_before_any_training(
    place, monkeypatch, capsys
):
    monkeypatch.setitem(LOSSES, "mine", LOSSES["focal"])  # which the grid replaces
    lines = (
        "from bench.grids import LOSSES, Entry",
        "LOSSES['mine'] = Entry(lambda counts: lambda logits, labels: logits.mean((1, 2)))",
        (place / "my_grid.py").read_text().replace('"class_balanced"', '"mine"'),
    )
    (place / "wrong.py").write_text("\n".join(lines))
    with chdir(place):
        flags = ["--grid", "wrong.py", "--data", "livers", "--cache", "runs/cache"]
        assert main(["plan", *flags, "--like", "NVIDIA H200"]) == 2
        told = capsys.readouterr().err
        assert main(["run", *flags, "--out", "out"]) == 2

    assert "segbench: loss 'mine' must give one finite number with a gradient for logits" in told
    assert "it gave a tensor of shape [2, 16, 16]; return its mean" in told
    assert capsys.readouterr().err.splitlines()[-1] == told.splitlines()[-1]
    assert not list(place.glob("out/trials/*"))


@pytest.mark.parametrize("content", ["", "masks"])
def test_a_folder_of_no_known_layout_names_the_flag(tmp_path, content, capsys):
    if content:
        save(tmp_path / "a.nii.gz", np.zeros((4, 4, 4), np.uint8))

    assert main(["init", str(tmp_path), "--out", str(tmp_path / "grid.py")]) == 2

    assert "must hold dataset.json (nnU-Net, the Decathlon) or CASE/segmentation.nii.gz" in (
        capsys.readouterr().err
    )


def made_up(shape, cases=40, voxels=(90, 5, 5)):
    """Cases of one size at 1 mm with these voxels of each class."""
    names = tuple(f"c{number:02}" for number in range(cases))
    return OwnData(
        dataset=Dataset(
            name="nnunet",
            root=Path(),
            classes=tuple(LABELS),
            cases=(),
            class_voxels=dict.fromkeys(names, voxels),
        ),
        scheme="seeded",
        split=Split(train=names[16:], val=names[8:16], test=names[:8]),
        grids=(NativeGrid(shape, (1.0, 1.0, 1.0)),) * cases,
    )


@pytest.mark.parametrize(
    ("shape", "preparation", "patch"),
    [
        ((20, 30, 30), Cube(edge=32), None),
        ((90, 100, 110), Cube(edge=112), None),
        # A patch is at most 128 and holds a shorter axis whole.
        ((40, 200, 200), Spacing(mm="lowres"), (48, 128, 128)),
        ((600, 500, 500), Spacing(mm="lowres"), (128, 128, 128)),
    ],
)
def test_small_cases_are_cubes_and_large_ones_are_cut_into_patches(shape, preparation, patch):
    recipe = sized(made_up(shape))

    assert (recipe.preparation, recipe.patch) == (preparation, patch)


def test_fewer_hours_afford_fewer_epochs_and_never_fewer_than_ten():
    data = made_up((60, 60, 60))
    most = fit(data, gpus=1, cores=1, hours=24)
    half, least = (fit(data, 1, 1, hours) for hours in (most.hours / 2, 0.001))

    assert [one.recipe.epochs for one in (most, least)] == [100, 10]
    # Trials have a constant part too, so half the time affords less than half the epochs.
    assert 10 < half.recipe.epochs < 50
    assert half.hours <= most.hours / 2 < most.hours <= 24
    assert least.hours > 0.001
    assert fit(data, 2, 1, 24).hours == pytest.approx(most.hours / 2)


def test_a_class_without_a_training_case_has_no_class_balanced_loss():
    assert fit(made_up((20, 30, 30), voxels=(95, 5, 0)), 1, 1, 24).losses == ("combined", "focal")
