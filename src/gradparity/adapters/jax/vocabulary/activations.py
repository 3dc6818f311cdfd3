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
    ops.LogSigmoid: lambda op, z: jax.nn.log_sigmoid(z),
    ops.Mish: lambda op, z: jax.nn.mish(z),
    ops.Softsign: lambda op, z: jax.nn.soft_sign(z),
    ops.SparsePlus: lambda op, z: jax.nn.sparse_plus(z),
    ops.Squareplus: lambda op, z: jax.nn.squareplus(z, op.b),
    ops.Tanhshrink: lambda op, z: z - jnp.tanh(z),
}
