"""JAX's activations with kinks and jumps: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import kinked as ops

__all__ = ["FUNCTIONS"]


def _prelu(op: ops.PReLU, z: Any, a: Any) -> Any:
    return jnp.where(z > 0, z, a.reshape(-1, *[1] * (z.ndim - 2)) * z)


def _softshrink(op: ops.Softshrink, z: Any) -> Any:
    return jnp.where(z > op.l, z - op.l, jnp.where(z < -op.l, z + op.l, 0))


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Hardshrink: lambda op, z: jnp.where(abs(z) > op.l, z, 0),
    ops.Hardsigmoid: lambda op, z: jax.nn.hard_sigmoid(z),
    ops.Hardswish: lambda op, z: jax.nn.hard_swish(z),
    ops.PReLU: _prelu,
    ops.Softshrink: _softshrink,
    ops.Threshold: lambda op, z: jnp.where(z > op.t, z, op.v),
}
