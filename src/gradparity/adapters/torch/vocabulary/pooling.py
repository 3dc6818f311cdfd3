"""PyTorch's averages and norms of windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import pooling as ops

__all__ = ["FUNCTIONS"]


def _avg_pool(op: ops.AvgPool, y: Tensor) -> Tensor:
    n, pads = len(op.kernel), op.windows.pads(tuple(y.shape[2:]))
    known = all(low == high <= k // 2 for (low, high), k in zip(pads, op.kernel, strict=True))
    kernel, stride, padding = op.kernel, op.stride, tuple(low for low, _ in pads)
    if known and op.divisor is None:
        pool: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
        found: Tensor = pool(y, kernel, stride, padding, False, op.count_include_pad)
        return found
    padded = F.pad(y, [p for pair in reversed(pads) for p in pair])
    if op.divisor is not None or op.count_include_pad:
        return _sum_pool(op, padded, op.divisor or 0)
    inside = F.pad(y.new_ones(y.shape[2:]), [p for pair in reversed(pads) for p in pair])
    return _sum_pool(op, padded, 1) / _sum_pool(op, inside[None, None], 1)


def _sum_pool(op: ops.AvgPool, y: Tensor, divisor: int) -> Tensor:
    """The sums of windows, divided by a number, or by the size of the kernel for 0."""
    kernel, stride, given = op.kernel, op.stride, divisor or None
    if len(kernel) == 3:
        return F.avg_pool3d(y, kernel, stride, divisor_override=given)
    if len(kernel) == 2:
        return F.avg_pool2d(y, kernel, stride, divisor_override=given)
    # `F.avg_pool1d` takes no divisor.
    y = y.unsqueeze(-2)
    return F.avg_pool2d(y, (1, *kernel), (1, *stride), divisor_override=given).squeeze(-2)


def _lp_pool(op: ops.LpPool, y: Tensor) -> Tensor:
    y = y if op.p % 2 == 0 else y.abs()  # PyTorch has y^p, which differs from |y|^p for odd p
    if len(op.kernel) == 1:
        return F.lp_pool1d(y, op.p, op.kernel[0], op.stride[0])
    pool: Any = (F.lp_pool2d, F.lp_pool3d)[len(op.kernel) - 2]
    found: Tensor = pool(y, op.p, op.kernel, op.stride)
    return found


def _adaptive_avg_pool(op: ops.AdaptiveAvgPool, y: Tensor) -> Tensor:
    n = len(op.size)
    pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[n - 1]
    found: Tensor = pool(y, op.size)
    return found


def _adaptive_max_pool(op: ops.AdaptiveMaxPool, y: Tensor) -> Tensor:
    n = len(op.size)
    pool: Any = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[n - 1]
    found: Tensor = pool(y, op.size)
    return found


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.AdaptiveAvgPool: _adaptive_avg_pool,
    ops.AdaptiveMaxPool: _adaptive_max_pool,
    ops.AvgPool: _avg_pool,
    ops.LpPool: _lp_pool,
}
