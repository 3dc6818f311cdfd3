"""PyTorch's products of two values, and its transposed convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import contractions as ops

__all__ = ["FUNCTIONS"]


def _conv_transpose(op: ops.ConvTranspose, y: Tensor, W: Tensor, *b: Tensor) -> Tensor:
    n = len(op.kernel)
    function: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    least = [min(pad) for pad in op.padding]
    bias = b[0] if b else None
    z: Tensor = function(y, W, bias, op.stride, least, op.output_padding, op.groups, op.dilation)
    crops = [low - high for low, high in op.padding]  # what is left out at one end alone
    ends = [slice(max(c, 0), size + min(c, 0)) for c, size in zip(crops, z.shape[2:], strict=True)]
    return z[:, :, *ends]


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.ConvTranspose: _conv_transpose,
    ops.Einsum: lambda op, a, b: torch.einsum(op.equation, a, b),
    ops.MatMul: lambda op, a, b: torch.matmul(a, b),
}
