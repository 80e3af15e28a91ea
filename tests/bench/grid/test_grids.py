"""What the three grids promise, and what a grid is refused for."""

from collections import Counter
from dataclasses import replace
from typing import get_type_hints

import pytest

from bench.grid.expand import count_trials, list_trials
from bench.grid.resolve import before_data, resolve
from bench.grid.validate import check_grid
from bench.grids import DEMO, FULL, GRIDS, PAPER, product
from bench.spaces import ModelSettings, Range, cell_space, check_setting, default_hyper
from trials.data.sampling import SAMPLINGS, ClassCounts
from trials.losses import LOSSES, is_plain_focal
from trials.models.registry import MODELS
from trials.records.spec import Cell, Cube, Recipe

# Voxels of the training split's cubes of 128, KiTS23.
KITS = ClassCounts(
    voxels=(699_955_698, 5_112_370, 1_581_976, 90_180),
    slices=(43136, 16064, 6421, 2315),
    cases=(337, 337, 337, 168),
)
BALANCED = Cell(model="vnet", loss="class_balanced", sampling="none")


def declared(grid):
    """A grid as it is resolved before its data are open."""
    return resolve(grid, before_data(grid))


@pytest.mark.parametrize("name", GRIDS)
def test_every_built_in_grid_can_run(name):
    check_grid(GRIDS[name])


def test_full_is_four_models_by_four_losses_by_three_samplings_under_three_seeds():
    assert len(set(FULL.cells)) == 4 * 4 * 3
    assert count_trials(declared(FULL)) == {"pretrain": 3, "tune": 48 * 24, "final": 48 * 3}


def test_paper_holds_the_eleven_published_rows_at_one_learning_rate():
    assert len(PAPER.cells) == 11
    assert {cell.sampling for cell in PAPER.cells if cell.model != "unet2d_resnet50"} == {
        "oversample"
    }
    assert [
        row.setting for row in list_trials(declared(PAPER)) if row.cell.model == "unet2d_resnet50"
    ] == ["lr=0.0001 gamma=2"] * 3
    recipes = {model: one.recipe for model, one in declared(PAPER).models.items()}
    assert recipes["unet2d_resnet50"].batch_size == 64
    assert recipes["unet2d_resnet50"].epochs == 15
    assert recipes["vnet"].batch_size == 4
    assert recipes["vnet"].oversample == "literal"


def test_demo_holds_every_loss_and_sampling_every_family_of_cubes_twice_and_patches():
    counts = Counter(cell.model for cell in DEMO.cells)
    patches = {model for model in counts if model in DEMO.recipes and DEMO.recipes[model].patch}
    assert patches == {"dynunet"}
    assert min(count for model, count in counts.items() if model not in patches) >= 2
    assert {cell.loss for cell in DEMO.cells} == set(LOSSES)
    assert {cell.sampling for cell in DEMO.cells} == set(SAMPLINGS)
    assert counts.keys() - patches == {"unet3d", "vnet", "segresnet", "unet2d_resnet18"}


@pytest.mark.parametrize("factor", ["model", "loss", "sampling"])
def test_two_cells_of_the_demo_differ_in_each_factor_alone(factor):
    others = Counter(replace(cell, **{factor: ""}) for cell in DEMO.cells)

    assert max(others.values()) >= 2


def test_outline_lists_as_many_trials_as_are_planned():
    assert len(list(list_trials(declared(FULL)))) == sum(count_trials(declared(FULL)).values())


def test_given_weights_replace_pretraining():
    assert count_trials(resolve(FULL, before_data(FULL, ["segresnet"])))["pretrain"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipes": {}}, "has no recipe for"),
        ({"hyper": {"unet": {"lr": 0.1}}}, "unknown model in hyper 'unet'; did you mean 'unet3d'"),
        (
            {"spaces": {"segresnet": {"one_minus_bet": Range(low=0.1, high=0.2)}}},
            "unknown hyperparameter in spaces",
        ),
    ],
)
def test_a_grid_that_cannot_run_is_refused_with_the_way_out(change, message):
    with pytest.raises(ValueError, match=message):
        check_grid(replace(DEMO, **change))


@pytest.mark.parametrize("name", [name for name, part in MODELS.items() if part.dims == 3])
def test_an_illegal_cube_is_refused_before_a_trial_starts(name):
    recipe = replace(DEMO.recipes["3d"], preparation=Cube(edge=44))
    grid = replace(DEMO, cells=product((name,), ("focal",), ("none",)), recipes={"3d": recipe})

    with pytest.raises(ValueError, match=f"{name} takes cubes .* got 44; nearest"):
        check_grid(grid)


def test_defaults_of_full_are_those_of_its_description():
    setting = default_hyper(
        Cell(model="vnet", loss="class_balanced", sampling="none"), KITS, "random", ModelSettings()
    )
    space = cell_space(
        Cell(model="vnet", loss="class_balanced", sampling="none"), KITS, "random", ModelSettings()
    )

    assert setting["lr"] == 1e-4
    assert setting["gamma"] == 2
    assert setting["one_minus_beta"] == pytest.approx(1.26e-7, rel=0.01)
    assert (space["one_minus_beta"].low, space["one_minus_beta"].high) == (
        1 / 699_955_698,
        1 / 90_180,
    )


@pytest.mark.parametrize(
    ("optimizer", "default", "low", "high"),
    [("adam", 1e-4, 1e-5, 1e-2), ("adamw", 1e-4, 1e-5, 1e-2), ("sgd", 1e-2, 1e-3, 1e-1)],
)
def test_the_learning_rate_follows_the_optimizer_unless_a_grid_says_otherwise(
    optimizer, default, low, high
):
    cell = Cell(model="dynunet", loss="combined", sampling="none")
    given = ModelSettings(optimizer=optimizer)
    own = replace(given, hyper={"lr": 0.5}, spaces={"lr": Range(low=0.1, high=1.0)})

    assert default_hyper(cell, KITS, "random", given) == {"lr": default}
    assert cell_space(cell, KITS, "random", given)["lr"] == Range(low=low, high=high, log=True)
    assert default_hyper(cell, KITS, "random", own) == {"lr": 0.5}
    assert cell_space(cell, KITS, "random", own)["lr"].high == 1


def test_stages_are_frozen_only_where_there_are_weights():
    cell = Cell(model="segresnet", loss="combined", sampling="none")

    assert "frozen_stages" in default_hyper(cell, KITS, "pretrain:abc", ModelSettings())
    assert "frozen_stages" not in default_hyper(cell, KITS, "random", ModelSettings())


def test_a_declared_setting_that_is_plain_focal_is_refused_by_the_cells_name():
    with pytest.raises(
        ValueError,
        match=r"cell vnet, class_balanced, none: at one_minus_beta=0.001 .* the plain focal loss",
    ):
        check_setting(BALANCED, KITS, {"one_minus_beta": 1e-3})
    check_setting(BALANCED, KITS, {"one_minus_beta": 1e-7})


def test_a_search_never_draws_plain_focal_however_wide_its_range():
    wide = ModelSettings(spaces={"one_minus_beta": Range(low=1e-9, high=0.1, log=True)})

    span = cell_space(BALANCED, KITS, "random", wide)["one_minus_beta"]

    assert span.low == 1e-9
    assert not is_plain_focal(KITS, span.high)
    assert is_plain_focal(KITS, span.high * 1.01)


def test_alpha_reaches_only_the_loss_that_takes_it():
    given = ModelSettings(hyper={"alpha": (0.3, 1.0, 1.2, 1.5)})

    settings = {
        loss: default_hyper(replace(BALANCED, loss=loss), KITS, "random", given) for loss in LOSSES
    }

    assert {loss for loss, setting in settings.items() if "alpha" in setting} == {"weighted_focal"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "linear"}, "unknown Recipe.schedule 'linear'"),
        ({"precision": "fp16"}, "unknown Recipe.precision 'fp16'"),
        ({"weights": "imagenet"}, "unknown Recipe.weights 'imagenet'"),
        ({"slice_axis": "axal"}, "did you mean 'axial'"),
        ({"oversample": "contents"}, "did you mean 'content'"),
        ({"class_unit": "voxel"}, "did you mean 'voxels'"),
        ({"rotate_zoom_prob": 1.5}, "Recipe.rotate_zoom_prob must be at most 1; got 1.5"),
        ({"steps_per_epoch": 0}, "Recipe.steps_per_epoch must be at least 1; got 0"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_by_key_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        replace(DEMO.recipes["3d"], **change)


def test_what_a_recipe_may_name_is_what_the_code_knows():
    from trials.data.batches.slices import SLICE_AXES
    from trials.data.sampling import READINGS, UNITS
    from trials.inference.network import PRECISIONS
    from trials.training.optimizer import OPTIMIZERS, SCHEDULES

    known = {
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "precision": PRECISIONS,
        "slice_axis": SLICE_AXES,
        "oversample": READINGS,
        "class_unit": UNITS,
    }
    hints = get_type_hints(Recipe, include_extras=True)
    assert {name: set(hints[name].__metadata__[0].words) for name in known} == {
        name: set(words) for name, words in known.items()
    }
