"""PyTorch's reductions by index: Op -> (op, ids, value) -> value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ....core.vocabulary import segments as ops

__all__ = ["FUNCTIONS"]


def _reduced(op: Any, ids: Tensor, y: Tensor, how: str, fill: float = 0.0) -> Tensor:
    shape = list(y.shape)
    shape[op.axis] = op.n
    index = ids.reshape(*ids.shape, *[1] * (y.ndim - ids.ndim)).expand_as(y)
    return y.new_full(shape, fill).scatter_reduce(op.axis, index, y, how, include_self=False)


def _sum(op: ops.SegmentSum, ids: Tensor, y: Tensor) -> Tensor:
    if op.axis == 0:
        return y.new_zeros(op.n, *y.shape[1:]).index_add(0, ids, y)
    return _reduced(op, ids, y, "sum")


def _max(op: ops.SegmentMax, ids: Tensor, y: Tensor) -> Tensor:
    """Filled afterwards: even with include_self=False the gradient is shared with an equal fill."""
    best = _reduced(op, ids, y, "amax", -math.inf)
    met = _reduced(op, ids, torch.ones_like(y), "sum") > 0
    return torch.where(met, best, op.fill)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.SegmentMax: _max,
    ops.SegmentMean: lambda op, ids, y: _reduced(op, ids, y, "mean"),
    ops.SegmentSum: _sum,
}
