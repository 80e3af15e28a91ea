"""What a user gets for a mistake in a grid: key or line, what came, what is allowed, one line, exit
code 2.

Grids are Python files; YAML faults concern cluster files.
"""

import re
from dataclasses import replace

import pytest
import torch

from bench.cli import main
from bench.execution.start_weights import TIMEOUT_SECONDS, prefetch_imagenet
from bench.grid.resolve import GridFacts, before_data, resolve
from bench.grid.validate import check_grid, check_settings
from bench.grids import DEMO, product
from trials.data.sampling import ClassCounts
from trials.models.build import build

GRID = """\
from dataclasses import replace
from bench.grids import DEMO, Cell, Cube, Grid, Range, Recipe, Tuning, product

RECIPE = Recipe(epochs=1, batch_size=2, preparation=Cube(edge=32), width=4)
MINE = Grid(
    name="mine",
    dataset="phantoms",
    generate={"num_cases": 11, "seed": 0},
    cells=product(("unet3d",), ("focal",), ("none",)),
    seeds=(0,),
    tuning=Tuning(trials=2),
    recipes={"3d": RECIPE},
    hyper={"*": {"lr": 0.01}},
    spaces={"*": {"lr": Range(low=1e-3, high=1e-2, log=True)}},
)
"""

# What is typed, what should have been, and what the answer must hold.
MISTAKES = [
    ("import DEMO", "import DEMOO", "line 2: bench.grids has no 'DEMOO'; did you mean 'DEMO'?"),
    (
        "Range(low=1e-3",
        "Rnge(low=1e-3",
        "line 14: name 'Rnge' is not defined; did you mean 'Range'?",
    ),
    ("cells=product", "cels=product", "line 5: unknown key of Grid 'cels'; did you mean 'cells'?"),
    ("epochs=1", "epoch=1", "line 4: unknown key of Recipe 'epoch'; did you mean 'epochs'?"),
    ("trials=2", "trails=2", "line 11: unknown key of Tuning 'trails'; did you mean 'trials'?"),
    ("low=1e-3", "lo=1e-3", "line 14: unknown key of Range 'lo'; did you mean 'low'?"),
    ("edge=32)", "edg=32)", "line 4: unknown key of Cube 'edg'; did you mean 'edge'?"),
    ('name="mine",', 'name="mine"', "line 6: invalid syntax. Perhaps you forgot a comma?"),
    ('name="mine",', 'name="mine,', "line 6: unterminated string literal (detected at line 6)"),
    (
        "MINE = Grid(",
        "DEMO.lossy\nMINE = Grid(",
        "line 5: unknown key of Grid 'lossy'; known: cells, dataset, folds, generate, ",
    ),
    (
        "RECIPE = ",
        "RECIPE = DEMO.recipes['4d'] or ",
        "line 4: unknown key of DEMO.recipes '4d'; did you mean '3d'? known: 2d, 3d, dynunet, "
        "segresnet, vnet",
    ),
    (
        "MINE = Grid(",
        "OTHER = replace(DEMO, name='x')\nMINE = Grid(",
        "must define exactly one Grid of its own; found mine, x",
    ),
    ('"unet3d"', '"unet_3d"', "unknown model 'unet_3d'; did you mean 'unet3d'?"),
    ('"focal"', '"focl"', "unknown loss 'focl'; did you mean 'focal'?"),
    ('"none"', '"nono"', "unknown sampling 'nono'; did you mean 'none'?"),
    ('"phantoms"', '"fantoms"', "unknown data set 'fantoms'; did you mean 'phantoms'?"),
    ('"num_cases"', '"num_case"', "unknown key of generate 'num_case'; did you mean 'num_cases'?"),
    ("seeds=(0,)", "seeds=()", "at least one cell, one seed and one fold"),
    ("seeds=(0,)", "seeds=(0, 0)", "names a cell, seed or fold twice"),
    ("seeds=(0,)", "seeds=(-1,)", "line 5: Grid.seeds[0] must be at least 0; got -1"),
    (
        "seeds=(0,)",
        "seeds=(2**70,)",
        "Grid.seeds[0] must be at most 4294967295; got 1180591620717411303424",
    ),
    (
        "seeds=(0,)",
        "seeds=(seed for seed in (0,))",
        "Grid.seeds must be a tuple; got <generator",
    ),
    ("seeds=(0,)", "seeds=(0.5,)", "seeds[0] must be int; got 0.5"),
    ("seeds=(0,)", "seeds=0", "line 5: Grid.seeds must be a tuple; got 0"),
    ("seeds=(0,)", "seeds=(0,), folds=(3,)", "folds of split 'sequential' must be in 0..0; got 3"),
    ("seeds=(0,)", "seeds=(0,), folds=(0, 0)", "names a cell, seed or fold twice; each runs once"),
    (
        "seeds=(0,)",
        "seeds=(0,), splits='paper'",
        "unknown split of phantoms 'paper'; known: seeded, sequential",
    ),
    (
        "trials=2",
        "trials=0",
        "line 11: Tuning.trials must be at least 1; got 0",
    ),
    ("trials=2", "trials='2'", "Tuning.trials must be int; got '2'; write 2 without quotes"),
    ("trials=2", "trials=2, seed=-1", "Tuning.seed must be at least 0; got -1"),
    ("epochs=1", "epochs=0", "line 4: Recipe.epochs must be at least 1; got 0"),
    ("width=4", "width=10**20", "Recipe.width must be at most 1024; got 100000000000000000000"),
    (
        "width=4",
        "gpu_share=1.5",
        "Recipe: gpu_share must be a share of one GPU, at most 1, or a whole number of GPUs; "
        "got 1.5",
    ),
    (
        "width=4",
        "model_options=(('kernel', float('nan')),)",
        "Recipe.model_options[0][1] must be a finite number; got nan",
    ),
    ('"num_cases": 11', '"num_cases": -1', "generate['num_cases'] must be at least 1; got -1"),
    (
        '"num_cases": 11',
        '"num_cases": 10**9',
        "generate['num_cases'] must be at most 100000; got 1000000000",
    ),
    (
        "edge=32)",
        "edge=10**20)",
        "line 4: Cube.edge must be at most 512; got 100000000000000000000",
    ),
    (
        "edge=32)",
        "edge=32, normalise='x')",
        "unknown Cube.normalise 'x'; known: train, volume",
    ),
    (
        "edge=32)",
        "edge=32, clip_hu=(3, 1))",
        "Cube: clip_hu must be (low, high) with low < high; got (3.0, 1.0)",
    ),
    (
        "edge=32)",
        "edge=32, clip_hu=(float('nan'), 1))",
        "Cube.clip_hu[0] must be a finite number; got nan",
    ),
    ('name="mine"', 'name="../../x"', "name must be a letter or digit, then up to 59 letters"),
    ('name="mine"', 'name=""', "since it names the run folder; got ''"),
    ('"3d": RECIPE', "3: RECIPE", "line 5: a key of Grid.recipes must be str; got 3"),
    ('"lr": 0.01', "3: 0.01", "a key of Grid.hyper.* must be str; got 3"),
    ("epochs=1", "epochs=None", "Recipe.epochs must be int; got None"),
    ("edge=32", "edge=40", "multiples of 16 and at least 32; got 40; nearest valid: 32 or 48"),
    ("width=4", "optimizer='rmsprop'", "unknown Recipe.optimizer 'rmsprop'"),
    (
        "width=4",
        "subsample_background=99",
        "Recipe.subsample_background must be at most 1; got 99",
    ),
    ('"3d"', '"3D"', "unknown key of recipes '3D'; did you mean '3d'?"),
    ('"lr": 0.01', '"lrr": 0.01', "unknown hyperparameter in hyper 'lrr'; did you mean 'lr'?"),
    ('"lr": 0.01', '"lr": -0.01', "hyper['*']['lr'] must be greater than 0 and finite; got -0.01"),
    ('"lr": 0.01', '"lr": 10**400', "hyper.*.lr must be float or tuple; got 1000"),
    ("high=1e-2", "high=1e-4", "spaces['*']['lr']: low must be below high; got 0.001 and 0.0001"),
    ("cells=product", "cells=('unet3d',) or product", "Grid.cells[0] must be a Cell; got 'unet3d'"),
]


def refused(text, tmp_path, capsys, *flags: str) -> str:
    """What a run of a grid file prints; always one line, without a traceback, with exit code 2."""
    grid = tmp_path / "mine.py"
    grid.write_text(text)
    assert main(["run", "--grid", str(grid), "--dry-run", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("segbench: ")
    assert len(error.splitlines()) == 1
    return error


def test_the_grid_without_a_mistake_is_taken(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(GRID)

    assert main(["run", "--grid", str(tmp_path / "mine.py"), "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("right", "wrong", "answer"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES]
)
def test_a_seeded_mistake_is_named_by_line_or_key_with_the_way_out(
    right, wrong, answer, tmp_path, capsys
):
    assert GRID.count(right) == 1 or right in ("import DEMO", "epochs=1", '"3d"', '"num_cases"')

    assert answer in refused(GRID.replace(right, wrong, 1), tmp_path, capsys)


def test_thirty_mistakes_are_seeded():
    assert len(MISTAKES) >= 30


def test_f48_unknown_key(tmp_path, capsys):
    text = GRID.replace(
        'product(("unet3d",), ("focal",), ("none",))',
        '(Cell(model="unet3d", los="focal", sampling="none"),)',
    )

    assert "line 9: unknown key of Cell 'los'; did you mean 'loss'?" in refused(
        text, tmp_path, capsys
    )


def test_f49_learning_rate_as_text(tmp_path, capsys):
    text = GRID.replace('"lr": 0.01', '"lr": "1.0e-4"')

    told = "hyper.*.lr must be float or tuple; got '1.0e-4'; write 1.0e-4 without quotes"
    assert told in refused(text, tmp_path, capsys)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("lr", 0.0, "greater than 0"),
        ("gamma", -1.0, "0 or greater"),
        ("one_minus_beta", 0.0, "greater than 0 and at most 1"),
        ("one_minus_beta", -1e-4, "greater than 0 and at most 1"),
    ],
)
def test_f50_hyperparameters_out_of_range(name, value, rule):
    fix = "write a valid number, or leave it out for the default"
    with pytest.raises(
        ValueError, match=rf"hyper\['\*'\]\['{name}'\] must .*{rule}.*; got .*; {fix}"
    ):
        check_grid(replace(DEMO, hyper={"*": {name: value}}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), (0.5, float("nan"), 1.0, 1.0)])
def test_f50_a_hyperparameter_that_is_not_finite(value):
    with pytest.raises(ValueError, match=r"Grid.hyper.\*.lr must be .*; got .*(nan|inf)"):
        replace(DEMO, hyper={"*": {"lr": value}})


def test_f51_a_beta_that_makes_all_weights_equal():
    cells = product(("unet3d",), ("class_balanced",), ("none",))
    grid = replace(DEMO, cells=cells, hyper={"*": {"one_minus_beta": 0.01}})
    counts = ClassCounts(
        voxels=(699_955_698, 5_112_370, 1_581_976, 90_180), slices=(9, 9, 9, 9), cases=(9, 9, 9, 9)
    )
    recipe = DEMO.recipes["3d"]
    key = (recipe.preparation, recipe.class_unit)
    facts = GridFacts(
        splits="sequential", digests={recipe.preparation: "0"}, counts={key: counts}, weights={}
    )

    with pytest.raises(
        ValueError,
        match=r"all class weights agree within 1 %.*choose a value between 1.4e-09 and 1.1e-05",
    ):
        check_settings(resolve(grid, facts))


def test_f52_an_input_size_that_the_model_cannot_take(tmp_path, capsys):
    answer = refused(GRID.replace("edge=32", "edge=100"), tmp_path, capsys)

    assert "unet3d takes cubes and patches whose edges are multiples of 16" in answer
    assert "nearest valid: 96 or 112" in answer


def test_f53_freezing_without_pretrained_weights(tmp_path, capsys):
    text = GRID.replace("width=4", 'width=4, weights="random"').replace('"unet3d"', '"segresnet"')

    answer = refused(
        text.replace('"lr": 0.01', '"lr": 0.01, "frozen_stages": 2.0'), tmp_path, capsys
    )

    assert "grid 'mine', segresnet: frozen_stages=2 needs pretrained weights" in answer
    assert "give weights or set recipe.weights to 'default'" in answer
    check_grid(replace(DEMO, hyper={"segresnet": {"frozen_stages": 2.0}}))


def test_f54_pretrained_file_missing_or_hub_out_of_reach(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(
        ValueError,
        match=r"huggingface.co/smp-hub/resnet18.imagenet with --weights unet2d_resnet18=PATH",
    ):
        prefetch_imagenet("unet2d_resnet18")
    assert main(["run", "--grid", "full", "--weights", "segresnet=/nowhere.pt"]) == 2

    assert TIMEOUT_SECONDS < 10
    assert "no such file; write segresnet=PATH" in capsys.readouterr().err


def test_f55_pretrained_weights_that_do_not_fit(tmp_path, capsys):
    file = tmp_path / "other.pt"
    torch.save({"state_dict": build("vnet", 4, width=4).state_dict()}, file)

    answer = refused(GRID, tmp_path, capsys, "--weights", f"unet3d={file}")

    assert re.search(r"other.pt: only \d+ of \d+ tensors fit this model and 95% must; ", answer)
    assert len(re.findall(r"\w is \S+ in the model and \S+ in the file", answer)) == 5
    assert "give weights of the same architecture and width" in answer


def test_a_file_of_weights_that_fits_is_taken_whatever_its_classes(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(GRID)
    torch.save(build("unet3d", 7, width=4).state_dict(), tmp_path / "mine.pt")

    assert (
        main(
            [
                "run",
                "--grid",
                str(tmp_path / "mine.py"),
                "--dry-run",
                "--weights",
                f"unet3d={tmp_path / 'mine.pt'}",
            ]
        )
        == 0
    )


def test_f58_a_grid_of_no_trials_or_of_more_than_ten_thousand(tmp_path, capsys):
    without = refused(GRID.replace("cells=product", "cells=() and product"), tmp_path, capsys)
    larger = refused(
        GRID.replace("MINE", "HERS").replace("trials=2", "trials=9999").replace("(0,)", "(0, 1)"),
        tmp_path,
        capsys,
    )

    assert "grid 'mine' needs at least one cell, one seed and one fold" in without
    assert re.search(
        r"must plan at most 10000 trials; got 10001, .* take 1667 GPU-hours at .*; use fewer cells",
        larger,
    )


def test_a_model_option_that_does_not_exist_is_refused_before_training():
    recipe = replace(DEMO.recipes["vnet"], model_options=(("kernal", 3.0),))
    grid = replace(DEMO, cells=product(("vnet",), ("focal",), ("none",)), recipes={"3d": recipe})

    with pytest.raises(
        ValueError, match=r"unknown key of model_options of vnet 'kernal'; did you mean 'kernel'"
    ):
        check_settings(resolve(grid, before_data(grid)))
