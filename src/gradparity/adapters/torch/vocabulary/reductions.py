"""PyTorch's reductions: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .... import core
from ....core.vocabulary import reductions as ops

__all__ = ["FUNCTIONS"]


def _min(op: ops.Min, z: Tensor) -> Tensor:
    parts = z.split(list(op.sizes), op.axis) if op.sizes else [z]
    return torch.cat([part.amin(op.axis, keepdim=True) for part in parts], op.axis)


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.LogSumExp: lambda op, y: torch.logsumexp(y, op.axis),
    ops.Min: _min,
    ops.Prod: lambda op, y: torch.prod(y, op.axis),
    ops.Std: lambda op, y: torch.std(y, op.axis, correction=op.correction),
    ops.Variance: lambda op, y: torch.var(y, op.axis, correction=op.correction),
    ops.VectorNorm: lambda op, y: torch.linalg.vector_norm(y, op.order, op.axis),
}
