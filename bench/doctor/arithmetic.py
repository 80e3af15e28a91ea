"""The precision in which each model of a grid trains on this machine, and whether its low precision
agrees with float32.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.doctor.findings import Finding, error, fine, warning
from bench.grid.resolve import before_data, resolve
from bench.grid.user_file import load_grid
from bench.grid.validate import check_grid
from trials.inference.network import Network, memory_format, pick_device, pick_precision, untouched
from trials.models.build import build, item_edges
from trials.models.registry import MODELS
from trials.records.spec import Recipe, input_shape
from trials.training.precision import Arithmetic, compare
from trials.voxel_losses import Combined

# Used instead of a data set: the background and three classes of KiTS23.
NUM_CLASSES = 4
# Thresholds of a smooth image of deviation 1, above which the labels 1, 2 and 3 begin.
LEVELS = (0.5, 1.5, 2.2)


def arithmetic_findings(name: str) -> Iterator[Finding]:
    """A finding for each model of a grid, given by name or file; a grid that cannot run is one
    finding.
    """
    try:
        grid, _ = load_grid(name)
        check_grid(grid)
    except ValueError as wrong:
        yield error("grid", str(wrong), "fix the grid; `segbench ls` lists what a grid can name")
        return
    for model, one in resolve(grid, before_data(grid)).models.items():
        yield model_finding(model, one.recipe)


def model_finding(model: str, recipe: Recipe) -> Finding:
    """One model with its recipe, with random weights, on a random batch of the recipe's size."""
    device = pick_device()
    precision = pick_precision(recipe.precision, device)
    if precision is None:
        return fine("precision", f"{model} trains in float32")
    found = compare_precision(model, recipe, device, precision)
    low = str(precision).removeprefix("torch.")
    if found.is_right:
        return fine("precision", f"{model} trains in {low}, compared with float32: {found.text()}")
    message = f"{model}: {low} is wrong here: {found.text()}"
    if recipe.precision == "auto":
        return warning(
            "precision",
            f"{message}; it trains in float32",
            "try another version of torch or of the driver",
        )
    return error("precision", message, "set the recipe's precision to 'auto' or 'float32'")


def compare_precision(
    model: str, recipe: Recipe, device: torch.device, precision: torch.dtype
) -> Arithmetic:
    """The comparison of a network with float32, see trials.training.precision."""
    part = MODELS[model]
    torch.manual_seed(0)
    module = build(
        model,
        NUM_CLASSES,
        width=recipe.width,
        options=recipe.model_options,
        edges=item_edges(part.dims, recipe),
    )
    network = Network(
        module=module.to(memory_format=memory_format(part.layout, part.dims)).to(device),
        dims=part.dims,
        slice_axis=recipe.slice_axis,
        device=device,
        autocast=precision,
    )
    loss = Combined()
    with untouched(network):
        return compare(
            network,
            lambda net, images, labels: loss(net.forward(images), labels),
            *smooth_batch(recipe, network),
        )


def smooth_batch(recipe: Recipe, network: Network) -> tuple[Tensor, Tensor]:
    """Smooth random images [B, 1, ...] of deviation 1 and matching labels, with the recipe's batch
    and size.
    """
    edges = input_shape(recipe)[-network.dims :]
    pool = F.avg_pool3d if network.dims == 3 else F.avg_pool2d
    images = pool(torch.randn(recipe.batch_size, 1, *edges, device=network.device), 3, 1, 1)
    images /= images.std()
    return images, torch.stack([images[:, 0] > level for level in LEVELS]).sum(0, dtype=torch.uint8)
