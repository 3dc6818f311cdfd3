"""JAX's products of two values, and its transposed convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import contractions as ops

__all__ = ["FUNCTIONS"]


def _conv_transpose(op: ops.ConvTranspose, y: Any, W: Any, *b: Any) -> Any:
    """A convolution of y with gaps; `jax.lax.conv_transpose` is the same without groups."""
    axes = "DHW"[-len(op.kernel) :]
    c_in, each, *kernel = W.shape
    W = jnp.flip(W, range(2, W.ndim)).reshape(op.groups, c_in // op.groups, each, *kernel)
    W = jnp.swapaxes(W, 1, 2).reshape(op.c_out, c_in // op.groups, *kernel)
    pads = [
        (reach - 1 - low, reach - 1 - high + more)
        for reach, (low, high), more in zip(
            op.conv.windows.reach, op.padding, op.output_padding, strict=True
        )
    ]
    z = jax.lax.conv_general_dilated(
        y,
        W,
        [1] * len(kernel),
        pads,
        lhs_dilation=op.stride,
        rhs_dilation=op.dilation,
        dimension_numbers=(f"NC{axes}", f"OI{axes}", f"NC{axes}"),
        feature_group_count=op.groups,
    )
    return z + b[0].reshape(1, -1, *[1] * len(kernel)) if b else z


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.ConvTranspose: _conv_transpose,
    ops.Einsum: lambda op, a, b: jnp.einsum(op.equation, a, b),
    ops.MatMul: lambda op, a, b: jnp.matmul(a, b),
}
