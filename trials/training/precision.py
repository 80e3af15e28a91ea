"""Checks low precision on this device: compares the gradient of one real batch in low precision
with float32.

Some low-precision kernels silently return wrong values: oneDNN's bfloat16 weight gradient of a
3x3x3 convolution on a 2x2x2 grid is anything up to inf on processors with avx512_bf16, and differs
from call to call.
"""

import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trials.inference.network import Network, untouched
from trials.process.environment import device_name, reset_peak
from trials.records.spec import TrialSpec
from trials.training.memory import is_out_of_memory

# A tensor of the gradient, or the logits, may differ from float32 by this share of its norm.
# Correct kernels with random weights reach 0.1 to 1 (in a norm's few scales), a random ResNet50
# 1.6: gradients of equal norm that rounding has made uncorrelated differ by the square root of 2. A
# flipped sign gives 2, garbage anything up to inf (benchmarks/results/precision.txt).
LIMIT = 1.8
# Gradients that are nearly zero, such as a bias before a norm, consist of rounding errors: they are
# compared with this share of the whole gradient's norm.
LEAST_SHARE = 1e-3
LOGITS = "logits of an evaluation batch"
# Sizes in bytes of freed blocks filled with NaN before a gradient is computed, so that a kernel
# that reads uninitialised memory is detected.
GARBAGE = tuple(2**power for power in range(6, 25))
SEED = 0

Loss = Callable[[Network, Tensor, Tensor], Tensor]
_CHECKED: dict[Hashable, "Arithmetic"] = {}


class WrongArithmetic(Exception):
    """The recipe names a low precision whose results are wrong on this device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """The result of the comparison: the tensor with the largest error, and that error (inf if not
    finite).

    repeats says whether two calls in low precision gave equal bits; checked on a CPU only. items of
    the batch's were compared: fewer if float32 ran out of memory.
    """

    tensor: str
    error: float
    repeats: bool
    items: int
    batch: int
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether the trial may train in low precision."""
        return self.error <= LIMIT and self.repeats

    def text(self) -> str:
        """The result in one sentence."""
        size = f"{self.error:.2g}" if math.isfinite(self.error) else "not finite"
        of = (
            ""
            if self.items == self.batch
            else f", compared on {self.items} of {self.batch} items, as float32 ran out of memory "
            "with more"
        )
        differs = "" if self.repeats else "two equal calls gave different bits; "
        return f"{differs}largest error {size} in {self.tensor}, limit {LIMIT:g}{of}"


def check_arithmetic(
    network: Network, loss: Loss, images: Tensor, labels: Tensor, spec: TrialSpec
) -> Arithmetic:
    """Compare a network's low precision with float32 on a batch: images [B, C, ...] float32, labels
    as the loss takes them.

    The network's weights and running statistics, the generators and the peak memory are restored.
    The same model at the same size on the same device is compared once per process.
    """
    key = _key(network, images, spec)
    if key not in _CHECKED:
        started = time.perf_counter()
        with untouched(network):
            found = compare(network, loss, images, labels)
        _CHECKED[key] = replace(found, seconds=round(time.perf_counter() - started, 3))
    return _CHECKED[key]


def gradient_errors(low: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """The L2 norm of each tensor's difference, over its own norm or LEAST_SHARE of the whole
    gradient's; inf if not finite.
    """
    names = list(exact)
    norms = torch.stack([exact[name].double().norm() for name in names])
    differences = torch.stack(
        [(low[name].double() - exact[name].double()).norm() for name in names]
    )
    ratios = differences / norms.clamp_min(LEAST_SHARE * float(norms.norm())).clamp_min(
        torch.finfo(torch.float64).tiny
    )
    return {
        name: ratio if math.isfinite(ratio) else math.inf
        for name, ratio in zip(names, ratios.tolist(), strict=True)
    }


def _key(network: Network, images: Tensor, spec: TrialSpec) -> Hashable:
    recipe, trainable = (
        spec.recipe,
        sum(parameter.requires_grad for parameter in network.module.parameters()),
    )
    model = (
        spec.cell.model,
        recipe.width,
        recipe.model_options,
        spec.phase,
        spec.regions,
        trainable,
        tuple(images.shape),
    )
    return (
        *model,
        network.autocast,
        network.is_compiled,
        network.accumulation_steps,
        device_name(network.device),
        torch.__version__,
    )


def compare(network: Network, loss: Loss, images: Tensor, labels: Tensor) -> Arithmetic:
    """Compare every gradient tensor and the logits, on as many of the items as fit in memory in
    float32.

    images [B, C, ...] float32. The module's running statistics and the generators change, see
    network.untouched.
    """
    items = len(images)
    while True:
        try:
            return _compare_all(network, loss, images[:items], labels[:items], len(images))
        except Exception as error:
            if not is_out_of_memory(error) or items == 1:
                raise
        items = -(-items // 2)
        reset_peak()


def _compare_all(
    network: Network, loss: Loss, images: Tensor, labels: Tensor, batch: int
) -> Arithmetic:
    exact = replace(network, autocast=None)
    with torch.compiler.set_stance("force_eager"), _full_float32():
        reference = _gradient(exact, loss, images, labels)
    first, second = (_gradient(network, loss, images, labels, garbage=True) for _ in range(2))
    errors = gradient_errors(first, reference)
    again = gradient_errors(second, reference)
    errors = {name: max(error, again[name]) for name, error in errors.items()}
    # Each gradient updates the running statistics, so both evaluations come after the last.
    with torch.compiler.set_stance("force_eager"), _full_float32():
        reference_logits = _logits(exact, images)
    errors |= gradient_errors({LOGITS: _logits(network, images)}, {LOGITS: reference_logits})
    tensor = max(errors, key=lambda name: errors[name])
    on_cpu = network.device.type == "cpu"
    repeats = not on_cpu or all(torch.equal(first[name], second[name]) for name in first)
    return Arithmetic(
        tensor=tensor, error=errors[tensor], repeats=repeats, items=len(images), batch=batch
    )


def _gradient(
    network: Network, loss: Loss, images: Tensor, labels: Tensor, garbage: bool = False
) -> dict[str, Tensor]:
    """The gradient of a batch's loss by parameter name, with the same dropout masks in every
    call.
    """
    network.train()
    network.module.zero_grad(set_to_none=True)
    torch.manual_seed(SEED)
    if garbage:
        _leave_garbage(network.device)
    loss(network, images, labels).backward()
    gradient = {
        name: parameter.grad
        for name, parameter in network.module.named_parameters()
        if parameter.grad is not None
    }
    network.module.zero_grad(set_to_none=True)
    return gradient


@torch.inference_mode()
def _logits(network: Network, images: Tensor) -> Tensor:
    network.module.eval()
    return network.forward(images)


def _leave_garbage(device: torch.device) -> None:
    """Fill blocks of many sizes with bytes that are NaN in every float type, and free them."""
    blocks = [torch.full((size,), -1, dtype=torch.int8, device=device) for size in GARBAGE]
    del blocks


@contextmanager
def _full_float32() -> Iterator[None]:
    """Full float32: no TF32, which keeps 10 of 23 mantissa bits; and no kernel search, as each
    kernel is used once.
    """
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    search = torch.backends.cudnn.benchmark
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
        torch.backends.cudnn.benchmark
    ) = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
        torch.backends.cudnn.benchmark = search
