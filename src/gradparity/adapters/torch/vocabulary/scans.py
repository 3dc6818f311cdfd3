"""PyTorch's running sums, products and maxima, and sorting: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ....core.vocabulary import scans as ops

__all__ = ["FUNCTIONS"]


def _sort(op: ops.Sort, y: Tensor) -> Tensor:
    if op.k is not None:
        return y.topk(op.k, op.axis, largest=op.descending).values
    return y.sort(op.axis, descending=op.descending).values


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.CumulativeMax: lambda op, y: y.cummax(op.axis).values,
    ops.CumulativeProduct: lambda op, y: y.cumprod(op.axis),
    ops.CumulativeSum: lambda op, y: y.cumsum(op.axis),
    ops.Sort: _sort,
}
