"""JAX's patches of an image, and their transpose: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ....core.vocabulary import unfolding as ops

__all__ = ["FUNCTIONS"]


def _unfold(op: Any, y: Any) -> Any:
    patches = jax.lax.conv_general_dilated_patches(
        y,
        op.kernel,
        op.stride,
        op.windows.pads(y.shape[2:]),
        rhs_dilation=op.dilation,
        precision=jax.lax.Precision.HIGHEST,
    )
    return patches.reshape(*patches.shape[:2], -1)


def _fold(op: ops.Fold, y: Any) -> Any:
    image = jax.ShapeDtypeStruct(op.output_shape(y.shape), y.dtype)
    (z,) = jax.linear_transpose(lambda a: _unfold(op, a), image)(y)
    return z


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {ops.Fold: _fold, ops.Unfold: _unfold}
