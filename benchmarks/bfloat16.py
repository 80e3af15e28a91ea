"""Convolutions in bfloat16 as hardware computes them, where there is none: operands and results
rounded, sums in float32.

Torch's own fallback on such a processor gives the same numbers a hundred times slower.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (F.conv2d, F.conv3d, F.conv_transpose2d, F.conv_transpose3d)


class RoundedConvolutions(TorchFunctionMode):
    """Within it every convolution under autocast on a CPU is computed in float32 from bfloat16
    operands, and rounded.
    """

    def __torch_function__(
        self,
        function: Callable,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function not in CONVOLUTIONS or not torch.is_autocast_enabled("cpu"):
            return function(*args, **(kwargs or {}))
        images, weight, *rest = args
        bias = rest[0] if rest else None
        return Rounded.apply(function, images, weight, bias, tuple(rest[1:]), dict(kwargs or {}))


class Rounded(torch.autograd.Function):
    """One convolution and its gradient, each product of bfloat16 numbers summed in float32 and
    rounded once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        function: Callable,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        rest: Any,
        more: Any,
    ) -> Tensor:
        operands = [
            None if part is None else part.bfloat16().float() for part in (images, weight, bias)
        ]
        ctx.save_for_backward(*operands)
        ctx.function, ctx.rest, ctx.more, ctx.dtype = function, rest, more, images.dtype
        with torch.autocast("cpu", enabled=False):
            return function(*operands, *rest, **more).bfloat16()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        operands = [
            None if part is None else part.detach().requires_grad_() for part in ctx.saved_tensors
        ]
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            out = ctx.function(*operands, *ctx.rest, **ctx.more)
        given = [part for part in operands if part is not None]
        by_given = iter(torch.autograd.grad(out, given, gradients[0].bfloat16().float()))
        by_images, by_weight, by_bias = (
            None if part is None else next(by_given).bfloat16() for part in operands
        )
        return (
            None,
            by_images.to(ctx.dtype),
            by_weight.float(),
            None if by_bias is None else by_bias.float(),
            None,
            None,
        )
