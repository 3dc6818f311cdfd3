"""PyTorch's activations with kinks and jumps: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F  # noqa: N812  (its universal name)

from ....core.vocabulary import kinked as ops

__all__ = ["FUNCTIONS"]


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Hardshrink: lambda op, z: F.hardshrink(z, op.l),
    # The backward pass of `F.hardsigmoid` multiplies by 1/6 in float32, in float64 too.
    ops.Hardsigmoid: lambda op, z: F.relu6(z + 3) / 6,
    ops.Hardswish: lambda op, z: F.hardswish(z),
    ops.PReLU: lambda op, z, a: F.prelu(z, a),
    ops.Softshrink: lambda op, z: F.softshrink(z, op.l),
    ops.Threshold: lambda op, z: F.threshold(z, op.t, op.v),
}
