"""Gather, scatter and masked fill in JAX: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ....core.vocabulary import indexing as ops

__all__ = ["FUNCTIONS"]


def _scatter(op: ops.Scatter, ids: Any, y: Any, x: Any) -> Any:
    at = list(jnp.indices(ids.shape, sparse=True))
    at[op.axis] = ids
    there = y.at[tuple(at)]
    return there.add(x) if op.accumulate else there.set(x)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Dropout: lambda op, mask, y: mask.astype(y.dtype) * (y / (1 - op.p)),
    ops.Gather: lambda op, ids, y: jnp.take_along_axis(y, ids, op.axis),
    ops.MaskedFill: lambda op, mask, y: jnp.where(mask != 0, op.value, y),
    ops.Scatter: _scatter,
}
