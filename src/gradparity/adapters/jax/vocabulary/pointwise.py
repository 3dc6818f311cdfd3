"""JAX's mathematical functions: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import pointwise as ops

__all__ = ["FUNCTIONS"]

LOGARITHMS = {"e": jnp.log, "2": jnp.log2, "10": jnp.log10}

STEPS: dict[str, Callable[[Any], Any]] = {
    "sign": jnp.sign,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "nearest": jnp.rint,
    "step": lambda z: jnp.where(z > 0, 1, 0).astype(z.dtype),
}


def _step(op: ops.Step, z: Any) -> Any:
    y = STEPS[op.to](z)
    return y - jax.lax.stop_gradient(z) + z if op.straight_through else y


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Abs: lambda op, z: jnp.abs(z),
    ops.Arctan: lambda op, z: jnp.arctan(z),
    ops.Cos: lambda op, z: jnp.cos(z),
    ops.Erf: lambda op, z: jax.scipy.special.erf(z),
    ops.Erfc: lambda op, z: jax.scipy.special.erfc(z),
    ops.Exp: lambda op, z: jnp.exp(z),
    ops.Expm1: lambda op, z: jnp.expm1(z),
    ops.IntegerPower: lambda op, z: jax.lax.integer_pow(z, op.n),
    ops.Log: lambda op, z: LOGARITHMS[op.base](z),
    ops.Log1p: lambda op, z: jnp.log1p(z),
    ops.Reciprocal: lambda op, z: jnp.reciprocal(z),
    ops.Rsqrt: lambda op, z: jax.lax.rsqrt(z),
    ops.Scale: lambda op, z: op.a * z + op.b if op.b else op.a * z,
    ops.Sin: lambda op, z: jnp.sin(z),
    ops.Sqrt: lambda op, z: jnp.sqrt(z),
    ops.Square: lambda op, z: jnp.square(z),
    ops.Step: _step,
}
