"""PyTorch's gather, scatter and masked fill: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ....core.vocabulary import indexing as ops

__all__ = ["FUNCTIONS"]


def _scatter(op: ops.Scatter, ids: Tensor, y: Tensor, x: Tensor) -> Tensor:
    return y.scatter_add(op.axis, ids, x) if op.accumulate else y.scatter(op.axis, ids, x)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Dropout: lambda op, mask, y: mask.to(y.dtype) * (y / (1 - op.p)),
    ops.Gather: lambda op, ids, y: y.gather(op.axis, ids),
    ops.MaskedFill: lambda op, mask, y: y.masked_fill(mask != 0, op.value),
    ops.Scatter: _scatter,
}
