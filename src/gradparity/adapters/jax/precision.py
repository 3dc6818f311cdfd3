"""TF32 in JAX where the platform lacks it: operands of matrix products are rounded to it."""

from __future__ import annotations

from typing import Any

import jax

__all__ = ["affine_in_tf32"]


def affine_in_tf32(p: Any, y: Any) -> Any:
    """An affine map whose operands, and the incoming gradient, are rounded to TF32."""
    product = _tf32_gradient(_straight_through(y) @ _straight_through(p["kernel"]))
    return product + p["bias"] if "bias" in p else product


def _straight_through(t: Any) -> Any:
    """t rounded to TF32, differentiated as the identity: t + (rounded - t) is exact."""
    return t + jax.lax.stop_gradient(_to_tf32(t) - t)


def _to_tf32(t: Any) -> Any:
    return jax.lax.reduce_precision(t, exponent_bits=8, mantissa_bits=10)


def _tf32_gradient(z: Any) -> Any:
    """z unchanged (again an exact sum), while its gradient is rounded to TF32."""
    rounded = _to_tf32(z)
    return rounded + jax.lax.stop_gradient(z - rounded)
