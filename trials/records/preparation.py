"""Preparations in words, and the size of what a recipe trains on."""

from trials.records.spec import Cube, Preparation, Recipe


def preparation_text(preparation: Preparation) -> str:
    """As in "cube of 128^3 voxels" or "grid of 1 x 0.781 x 0.781 mm"; a rule by its name."""
    if isinstance(preparation, Cube):
        return f"cube of {preparation.edge}^3 voxels"
    if isinstance(preparation.mm, str):
        return f"{preparation.mm} grid"
    return f"grid of {' x '.join(f'{edge:.3g}' for edge in preparation.mm)} mm"


def input_shape(recipe: Recipe) -> tuple[int, int, int]:
    """The size (D, H, W) of what a 3D model is given: a patch, or a whole cube."""
    if recipe.patch is not None:
        return recipe.patch
    assert isinstance(recipe.preparation, Cube), "a recipe at a spacing names its patch"
    return (recipe.preparation.edge,) * 3


def input_text(recipe: Recipe) -> str:
    """As in "cube 128^3" or "patch 128 x 128 x 128"."""
    if recipe.patch is None:
        return f"cube {input_shape(recipe)[0]}^3"
    return f"patch {' x '.join(map(str, recipe.patch))}"
