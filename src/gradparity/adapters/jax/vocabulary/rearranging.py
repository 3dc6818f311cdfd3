"""JAX's movements beyond the lecture's: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ....core.vocabulary import rearranging as ops

__all__ = ["FUNCTIONS"]


def _slice(op: ops.Slice, y: Any) -> Any:
    lead = (slice(None),) * (op.axis % y.ndim)
    return y[(*lead, slice(op.start, op.stop, op.step))]


def _tile(op: ops.Tile, y: Any) -> Any:
    times = [1] * y.ndim
    times[op.axis] = op.n
    return jnp.tile(y, times)


def _pad(op: ops.Pad, y: Any) -> Any:
    pads = [(0, 0)] * (y.ndim - len(op.pads)) + list(op.pads)
    if op.mode == "constant":
        return jnp.pad(y, pads, constant_values=op.fill)
    return jnp.pad(y, pads, mode=ops.MODES[op.mode])


def _pixel_shuffle(op: ops.PixelShuffle, y: Any) -> Any:
    N, C, H, W = y.shape
    c = C // op.r**2
    parts = y.reshape(N, c, op.r, op.r, H, W).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(N, c, H * op.r, W * op.r)


def _split(op: ops.Split, y: Any) -> Any:
    return tuple(jnp.split(y, np.cumsum(op.sizes)[:-1], op.axis))


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Diagonal: lambda op, y: jnp.diagonal(y, op.offset, -2, -1),
    ops.Flip: lambda op, y: jnp.flip(y, op.axis),
    ops.Pad: _pad,
    ops.PixelShuffle: _pixel_shuffle,
    ops.Repeat: lambda op, y: jnp.repeat(y, op.n, op.axis),
    ops.Roll: lambda op, y: jnp.roll(y, op.shift, op.axis),
    ops.Slice: _slice,
    ops.Split: _split,
    ops.Stack: lambda op, *y: jnp.stack(y, op.axis),
    ops.Tile: _tile,
    ops.Triangle: lambda op, y: jnp.triu(y, op.offset) if op.upper else jnp.tril(y, op.offset),
}
