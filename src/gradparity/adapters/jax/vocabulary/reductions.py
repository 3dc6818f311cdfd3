"""JAX's reductions: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .... import core
from ....core.vocabulary import reductions as ops

__all__ = ["FUNCTIONS"]


def _min(op: ops.Min, z: Any) -> Any:
    parts = jnp.split(z, np.cumsum(op.sizes)[:-1], axis=op.axis) if op.sizes else [z]
    return jnp.concatenate([g.min(axis=op.axis, keepdims=True) for g in parts], axis=op.axis)


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.LogSumExp: lambda op, y: jax.nn.logsumexp(y, axis=op.axis),
    ops.Min: _min,
    ops.Prod: lambda op, y: jnp.prod(y, axis=op.axis),
    ops.Std: lambda op, y: jnp.std(y, axis=op.axis, ddof=op.correction),
    ops.Variance: lambda op, y: jnp.var(y, axis=op.axis, ddof=op.correction),
    ops.VectorNorm: lambda op, y: jnp.linalg.norm(y, ord=op.order, axis=op.axis),
}
