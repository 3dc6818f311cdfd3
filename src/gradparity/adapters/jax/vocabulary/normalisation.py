"""JAX's normalisations, as Flax composes them: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import normalisation as ops

__all__ = ["FUNCTIONS"]


def _over_groups(op: ops.OverGroups, x: Any, g: Any, b: Any) -> Any:
    grouped, per_channel = x.reshape(x.shape[0], op.groups, -1), (-1, *[1] * (x.ndim - 2))
    mean, var = grouped.mean(-1, keepdims=True), grouped.var(-1, keepdims=True)
    h = ((grouped - mean) * jax.lax.rsqrt(var + op.eps)).reshape(x.shape)
    return h * g.reshape(per_channel) + b.reshape(per_channel)


def _l2_normalise(op: ops.L2Normalise, y: Any) -> Any:
    """The root of the larger square, because JAX has NaN for the slope of a root at 0."""
    square = (y * y).sum(op.axis, keepdims=True)
    return y / jnp.sqrt(jnp.maximum(square, op.eps**2))


def _weight_norm(op: ops.WeightNorm, v: Any, g: Any) -> Any:
    return v * (g / jnp.sqrt((v * v).sum(tuple(range(1, v.ndim)), keepdims=True)))


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.GroupNorm: _over_groups,
    ops.InstanceNorm: _over_groups,
    ops.L2Normalise: _l2_normalise,
    ops.RMSNorm: lambda op, x, g: x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + op.eps) * g,
    ops.WeightNorm: _weight_norm,
}
