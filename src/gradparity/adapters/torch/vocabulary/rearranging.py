"""PyTorch's movements beyond the lecture's: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ....core.vocabulary import rearranging as ops

__all__ = ["FUNCTIONS"]


def _slice(op: ops.Slice, y: Tensor) -> Tensor:
    at = range(y.shape[op.axis])[op.start : op.stop : op.step]
    if op.step < 0:  # PyTorch has no negative steps
        return y.index_select(op.axis, torch.tensor(list(at), device=y.device))
    lead = (slice(None),) * (op.axis % y.ndim)
    return y[(*lead, slice(op.start, op.stop, op.step))]


def _tile(op: ops.Tile, y: Tensor) -> Tensor:
    times = [1] * y.ndim
    times[op.axis] = op.n
    return y.repeat(times)


def _pad(op: ops.Pad, y: Tensor) -> Tensor:
    flat = [n for pair in reversed(op.pads) for n in pair]
    return F.pad(y, flat, op.mode, op.fill if op.mode == "constant" else None)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Diagonal: lambda op, y: y.diagonal(op.offset, -2, -1),
    ops.Flip: lambda op, y: y.flip(op.axis),
    ops.Pad: _pad,
    ops.PixelShuffle: lambda op, y: F.pixel_shuffle(y, op.r),
    ops.Repeat: lambda op, y: y.repeat_interleave(op.n, op.axis),
    ops.Roll: lambda op, y: y.roll(op.shift, op.axis),
    ops.Slice: _slice,
    ops.Split: lambda op, y: y.split(op.sizes, op.axis),
    ops.Stack: lambda op, *y: torch.stack(y, op.axis),
    ops.Tile: _tile,
    ops.Triangle: lambda op, y: y.triu(op.offset) if op.upper else y.tril(op.offset),
}
