"""JAX's running sums, products and maxima, and sorting: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import scans as ops

__all__ = ["FUNCTIONS"]


def _sort(op: ops.Sort, y: Any) -> Any:
    z = jnp.sort(y, op.axis, descending=op.descending)
    return z if op.k is None else jax.lax.slice_in_dim(z, 0, op.k, axis=op.axis)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.CumulativeMax: lambda op, y: jax.lax.cummax(y, op.axis % y.ndim),
    ops.CumulativeProduct: lambda op, y: jnp.cumprod(y, op.axis),
    ops.CumulativeSum: lambda op, y: jnp.cumsum(y, op.axis),
    ops.Sort: _sort,
}
