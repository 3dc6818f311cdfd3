"""JAX's reductions over segments: Op -> (op, ids, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import segments as ops

__all__ = ["FUNCTIONS"]


def _over(op: Any, reduce: Callable[..., Any], ids: Any, y: Any) -> Any:
    def each(y: Any, ids: Any) -> Any:
        return reduce(y, ids, op.n)

    return each(y, ids) if op.axis == 0 else jax.vmap(each)(y, ids)


def _counts(op: Any, ids: Any, y: Any) -> Any:
    counts = _over(op, jax.ops.segment_sum, ids, jnp.ones(ids.shape, y.dtype))
    return counts.reshape(*counts.shape, *[1] * (y.ndim - ids.ndim))


def _mean(op: ops.SegmentMean, ids: Any, y: Any) -> Any:
    return _over(op, jax.ops.segment_sum, ids, y) / jnp.maximum(_counts(op, ids, y), 1)


def _max(op: ops.SegmentMax, ids: Any, y: Any) -> Any:
    best = _over(op, jax.ops.segment_max, ids, y)
    return jnp.where(_counts(op, ids, y) > 0, best, op.fill)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.SegmentMax: _max,
    ops.SegmentMean: _mean,
    ops.SegmentSum: lambda op, ids, y: _over(op, jax.ops.segment_sum, ids, y),
}
