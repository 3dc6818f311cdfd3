"""JAX's resizing where its weights are the same, and products with weights elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import resampling as ops

__all__ = ["FUNCTIONS"]


def _resize(op: ops.Resize, y: Any) -> Any:
    n = len(op.size)
    shape = (*y.shape[: y.ndim - n], *op.size)
    grows = all(m >= k for m, k in zip(op.size, y.shape[y.ndim - n :], strict=True))
    if op.mode == "nearest-exact":
        return jax.image.resize(y, shape, "nearest")
    if op.mode == "linear" and grows and not op.align_corners:
        return jax.image.resize(y, shape, "linear")
    for axis, m in enumerate(op.size, y.ndim - n):
        y = _along(op, y, axis, m)
    return y


def _along(op: ops.Resize, y: Any, axis: int, m: int) -> Any:
    n, i = y.shape[axis], jnp.arange(m)
    if op.mode == "nearest":
        return jnp.take(y, i * n // m, axis=axis)
    i = i.astype(y.dtype)
    x = i * ((n - 1) / max(m - 1, 1)) if op.align_corners else (i + 0.5) * (n / m) - 0.5
    j = jnp.arange(-2, n + 2)
    t = jnp.abs(x[:, None] - j.astype(y.dtype))
    w = jnp.maximum(1 - t, 0) if op.mode == "linear" else _keys(t)
    extended = jnp.take(y, jnp.clip(j, 0, n - 1), axis=axis)
    return jnp.moveaxis(jnp.tensordot(extended, w, (axis, 1)), -1, axis)


def _keys(t: Any, a: float = -0.75) -> Any:
    """Keys's kernel with PyTorch's number; JAX has a = -1/2, and other weights at the ends."""
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return jnp.where(t <= 1, near, jnp.where(t < 2, far, 0))


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {ops.Resize: _resize}
