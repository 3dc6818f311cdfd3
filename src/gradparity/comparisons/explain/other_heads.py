"""Attention with another scale, mask, order of q, k and v, or layout of its heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import permutations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.attention import Attention
from ...core.formulas.op import Op
from ...core.vocabulary.layers import MultiHeadAttention
from .wrapped import Move, OnOther

__all__ = ["OtherHeads", "other_heads"]


@dataclass(frozen=True)
class ShiftedMask(Attention):
    """Causal attention in which position t sees positions up to t + offset."""

    offset: int = 0

    def seen(self, T: int, S: int) -> NDArray:
        return np.tri(T, S, self.offset, dtype=bool)


@dataclass(frozen=True)
class OtherHeads(MultiHeadAttention):
    """Attention with several heads, another scale and another causal mask.

    Attributes
    ----------
    scale : of q k^T; None for that of `Attention`.
    offset : as in `ShiftedMask`.
    """

    scale: float | None = None
    offset: int = 0

    @property
    def attention(self) -> Attention:
        return ShiftedMask(self.causal, scale=self.scale, offset=self.offset)

    @property
    def said(self) -> str:
        """A sentence that names the scale."""
        return f"right with a scale of {self.scale}, where the network has 1 / sqrt(d / heads)"

    @classmethod
    def of(cls, op: MultiHeadAttention, **given: Any) -> OtherHeads:
        """Make one with the arguments of an op, and others in their place."""
        return cls(**{a.name: getattr(op, a.name) for a in fields(op)}, **given)


def other_heads(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of attention that follows another convention."""
    if type(op) is MultiHeadAttention:
        yield from _other_scales(op)
        yield from _other_layouts(op, y)
    if type(op) in (Attention, MultiHeadAttention):
        yield from _other_masks(op, y)


def _other_masks(op: Any, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    if not op.causal:
        return
    T, S = y[0].shape[-2], y[1].shape[-2] if type(op) is Attention else y[0].shape[-2]
    whole = {a.name: getattr(op, a.name) for a in fields(op)}
    kind: Any = ShiftedMask if type(op) is Attention else OtherHeads
    for offset in dict.fromkeys((1, -1, S - T, S - T - 1)):
        if offset:
            said = f"right if position t sees positions up to t {'+' if offset > 0 else '-'} "
            yield f"{said}{abs(offset)}, where the network has t", kind(**whole, offset=offset)


def _other_scales(op: MultiHeadAttention) -> Iterator[tuple[str, Op]]:
    D = op.d // op.heads
    scales = {"1 / sqrt(d)": op.d**-0.5, "1": 1.0, "1 / (d / heads)": 1.0 / D}
    for words, scale in scales.items():
        if op.heads > 1 or words != "1 / sqrt(d)":
            there = words if words == "1" else f"{words} = {scale:.6g}"
            said = f"right with a scale of {there}, where the network has 1 / sqrt(d / heads)"
            yield said, OtherHeads.of(op, scale=scale)


def _other_layouts(op: MultiHeadAttention, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """Blocks of q, k and v in another order or head by head, and interleaved heads."""
    d, heads = op.d, op.heads
    blocks = np.arange(3 * d).reshape(3, d)
    names = ("q", "k", "v")
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            there = ", ".join(names[i] for i in order)
            columns = blocks[np.argsort(order)].ravel()
            yield f"right with blocks in the order {there}, not q, k, v", _with(op, y, columns)
    if 1 < heads < d:
        apart = np.arange(3 * d).reshape(heads, 3, -1).transpose(1, 0, 2).ravel()
        said = "right with q, k and v of one head side by side in W, and not those of all heads"
        yield said, _with(op, y, apart)
        inside = np.arange(d).reshape(-1, heads).T.ravel()
        columns = np.concatenate([inside + d * i for i in range(3)])
        said = f"right with its heads interleaved: column c is in head c % {heads}, not in head "
        yield f"{said}c // {d // heads}", _with(op, y, columns, inside)


def _with(
    op: MultiHeadAttention, y: Sequence[NDArray], columns: NDArray, rows: NDArray | None = None
) -> Op:
    """The op with the columns of W and b in this order, and the rows of V."""
    n = op.n_inputs
    slots = {"W": (1, columns), "b": (0, columns), "V": (0, rows)}
    moves = []
    for i, letter in enumerate(op.parameter_shapes()):
        axis, order = slots.get(letter, (0, None))
        if order is not None:
            moves.append((n + i, Move(((axis, tuple(int(k) for k in order)),))))
    return OnOther(op, (*range(len(y)),), tuple(moves))
