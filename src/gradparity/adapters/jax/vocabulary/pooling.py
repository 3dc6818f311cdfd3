"""Averages and norms of windows by JAX's `reduce_window`, which it has no layers for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import pooling as ops

__all__ = ["FUNCTIONS"]


def _sum_pool(windows: core.Windows, y: Any) -> Any:
    one, pads = (1, 1), ((0, 0), (0, 0), *windows.pads(y.shape[2:]))
    shape, strides = (*one, *windows.kernel), (*one, *windows.stride)
    return jax.lax.reduce_window(y, 0.0, jax.lax.add, shape, strides, pads)


def _avg_pool(op: ops.AvgPool, y: Any) -> Any:
    total = _sum_pool(op.windows, y)
    if op.divisor is not None:
        return total / op.divisor
    counted = jnp.pad(jnp.ones_like(y), ((0, 0), (0, 0), *op.windows.pads(y.shape[2:])))
    if op.count_include_pad:
        counted = jnp.ones_like(counted)
    return total / _sum_pool(core.Windows(op.kernel, op.stride), counted)


def _lp_pool(op: ops.LpPool, y: Any) -> Any:
    total = _sum_pool(op.windows, abs(y) ** op.p)
    if op.p == 1:
        return total
    some = jnp.where(total == 0, 1, total)  # a root has no gradient at 0: that of the norm is 0
    return jnp.where(total == 0, 0, jnp.sqrt(some) if op.p == 2 else some ** (1 / op.p))


def _bins(size: Sequence[int], y: Any, reduced: Callable[..., Any]) -> Any:
    """A function of every bin, which JAX has not."""
    n = len(size)
    spans = [
        [slice(i * k // m, -(-(i + 1) * k // m)) for i in range(m)]
        for k, m in zip(y.shape[2:], size, strict=True)
    ]
    axes = tuple(range(2, n + 2))
    parts = [reduced(y[:, :, *each], axes) for each in itertools.product(*spans)]
    return jnp.stack(parts, -1).reshape(*y.shape[:2], *size)


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.AdaptiveAvgPool: lambda op, y: _bins(op.size, y, jnp.mean),
    ops.AdaptiveMaxPool: lambda op, y: _bins(op.size, y, jnp.max),
    ops.AvgPool: _avg_pool,
    ops.LpPool: _lp_pool,
}
