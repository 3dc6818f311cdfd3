"""JAX's activations beyond the lecture's: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import activations as ops

__all__ = ["FUNCTIONS"]


def _glu(op: ops.GLU, y: Any) -> Any:
    if isinstance(op.gate, core.Sigmoid):
        return jax.nn.glu(y, op.axis)
    a, b = jnp.split(y, 2, op.axis)
    return a * GATES[type(op.gate)](op.gate, b)


def _prelu(op: ops.PReLU, z: Any, a: Any) -> Any:
    return jnp.where(z > 0, z, a.reshape(-1, *[1] * (z.ndim - 2)) * z)


def _softshrink(op: ops.Softshrink, z: Any) -> Any:
    return jnp.where(z > op.l, z - op.l, jnp.where(z < -op.l, z + op.l, 0))


#: The gates of `GLU`.
GATES: dict[type[core.Op], Callable[..., Any]] = {
    core.Identity: lambda op, z: z,
    core.Tanh: lambda op, z: jnp.tanh(z),
    core.SiLU: lambda op, z: jax.nn.silu(z) if op.b == 1.0 else z * jax.nn.sigmoid(op.b * z),
    core.GELU: lambda op, z: jax.nn.gelu(z, approximate=op.approximate == "tanh"),
}

FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.CELU: lambda op, z: jax.nn.celu(z, op.a),
    ops.GLU: _glu,
    ops.Hardshrink: lambda op, z: jnp.where(abs(z) > op.l, z, 0),
    ops.Hardsigmoid: lambda op, z: jax.nn.hard_sigmoid(z),
    ops.Hardswish: lambda op, z: jax.nn.hard_swish(z),
    ops.LogSigmoid: lambda op, z: jax.nn.log_sigmoid(z),
    ops.Mish: lambda op, z: jax.nn.mish(z),
    ops.PReLU: _prelu,
    ops.Softshrink: _softshrink,
    ops.Softsign: lambda op, z: jax.nn.soft_sign(z),
    ops.SparsePlus: lambda op, z: jax.nn.sparse_plus(z),
    ops.Squareplus: lambda op, z: jax.nn.squareplus(z, op.b),
    ops.Tanhshrink: lambda op, z: z - jnp.tanh(z),
    ops.Threshold: lambda op, z: jnp.where(z > op.t, z, op.v),
}
