"""PyTorch's activations beyond the lecture's: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import activations as ops

__all__ = ["FUNCTIONS"]


def _glu(op: ops.GLU, y: Tensor) -> Tensor:
    if isinstance(op.gate, core.Sigmoid):
        return F.glu(y, op.axis)
    a, b = y.chunk(2, op.axis)
    return a * GATES[type(op.gate)](op.gate, b)


def _squareplus(op: ops.Squareplus, z: Tensor) -> Tensor:
    return 0.5 * (z + torch.sqrt(z * z + op.b))


def _sparse_plus(op: ops.SparsePlus, z: Tensor) -> Tensor:
    return torch.where(z <= -1, 0, torch.where(z >= 1, z, 0.25 * (z + 1) ** 2))


#: The gates of `GLU`.
GATES: dict[type[core.Op], Callable[..., Tensor]] = {
    core.Identity: lambda op, z: z,
    core.Tanh: lambda op, z: torch.tanh(z),
    core.SiLU: lambda op, z: F.silu(z) if op.b == 1.0 else z * torch.sigmoid(op.b * z),
    core.GELU: lambda op, z: F.gelu(z, approximate=op.approximate),
}

FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.CELU: lambda op, z: F.celu(z, op.a),
    ops.GLU: _glu,
    ops.LogSigmoid: lambda op, z: F.logsigmoid(z),
    ops.Mish: lambda op, z: F.mish(z),
    ops.Softsign: lambda op, z: F.softsign(z),
    ops.SparsePlus: _sparse_plus,
    ops.Squareplus: _squareplus,
    ops.Tanhshrink: lambda op, z: F.tanhshrink(z),
}
