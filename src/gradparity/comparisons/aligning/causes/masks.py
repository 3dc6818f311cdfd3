"""Masks of attention: those that a program has, and in what two of them differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.attention import Attention
from ....core.formulas.layers import Add
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.programs.parts import PlusProduct
from ....core.vocabulary.indexing import MaskedFill
from ....core.vocabulary.pairs import Where
from ..programs.edits import Edit
from ..programs.partners import HIDES
from ..programs.values import Program

__all__ = ["other_masks"]

#: How far the diagonal of a mask is moved, and the most masks of the other program that are tried.
MOVED, MOST_MASKS = (1, -1), 8


class _Mask(NamedTuple):
    """The positions that a node hides.

    Attributes
    ----------
    hidden : True where a position is hidden.
    fill : what hides it.
    """

    hidden: NDArray
    fill: float


@dataclass(frozen=True, eq=False)
class _Hiding(Op):
    """Attention with another mask.

    Attributes
    ----------
    op : the attention.
    hidden, fill : the mask.
    """

    op: Attention
    hidden: NDArray
    fill: float

    def forward(self, *y: Array) -> Array:
        made: Array = replace(self.op, causal=False, mask=True).forward(
            *y[:3], np.where(self.hidden, self.fill, 0.0)
        )
        return made


def other_masks(call: Call, y: Sequence[NDArray], other: Program) -> Iterator[Edit]:
    """Another mask of a node: one of the other program, none, or its own one rearranged."""
    shape = _shape_of(call.op, y)
    if len(shape) < 2:
        return
    own = _mask_of(call.op, y)
    if own is None and not isinstance(call.op, Attention):
        return
    found = [m for c in other.calls if (m := _mask_of(c.op, [o.array for o in c.inputs]))]
    said = _in_words(own.hidden if own else None)
    seen = [np.broadcast_to(own.hidden if own else np.zeros((1, 1), bool), shape)]
    for mask in [*_distinct(found)[:MOST_MASKS], *_rearranged(own)]:
        hidden = _in_shape(mask.hidden, shape)
        if hidden is None or any(np.array_equal(hidden, s) for s in seen):
            continue
        seen.append(hidden)
        edit = _with(call.op, y, _Mask(hidden, mask.fill))
        if edit is not None:
            there = _in_words(mask.hidden if mask.hidden.any() else None)
            said_of_both = (
                f"its mask is {said} {{here}} and {there} {{there}}{_relation(own, mask)}"
            )
            yield Edit(said_of_both, *edit)


def _in_shape(hidden: NDArray, shape: tuple[int, ...]) -> NDArray | None:
    """A mask as one of logits of this shape, which may have samples and heads in one axis."""
    batch = hidden.shape[:1]
    if len(shape) == 3 and hidden.ndim == 4 and shape[0] % batch[0] == 0:
        split = (*batch, shape[0] // batch[0], *shape[1:])
    elif len(shape) == 4 and batch == (shape[0] * shape[1],) and hidden.ndim == 3:
        hidden, split = hidden.reshape(*shape[:2], *hidden.shape[1:]), shape
    else:
        split = shape
    try:
        return np.broadcast_to(hidden, split).reshape(shape)
    except ValueError:
        return None


def _with(op: Op, y: Sequence[NDArray], mask: _Mask) -> tuple[Op, dict[int, NDArray]] | None:
    """(op, inputs) of a node with another mask."""
    blind = bool(mask.hidden.all(-1).any())  # -inf would leave such a row without a value
    if isinstance(op, Attention):
        return _Hiding(op, mask.hidden, mask.fill), {}
    if isinstance(op, MaskedFill):
        op = replace(op, value=mask.fill) if blind else op
        return op, {0: mask.hidden.astype(int)}
    if isinstance(op, Where):
        chosen = mask.hidden if _hides(y[1]) else ~mask.hidden
        return op, {0: np.broadcast_to(chosen, y[0].shape).astype(int)}
    if isinstance(op, PlusProduct):
        i = 2
    else:
        i = next(i for i, a in enumerate(y) if _additive(a) is not None)
    fill = mask.fill if blind else float(y[i].min())
    return op, {i: np.where(mask.hidden, fill, 0.0)}


def _shape_of(op: Op, y: Sequence[NDArray]) -> tuple[int, ...]:
    """The shape of the logits of a node that may hide some of them."""
    if isinstance(op, Attention) and len(y) >= 3:
        return (*y[0].shape[:-1], y[1].shape[-2])
    if isinstance(op, PlusProduct):
        return (*y[0].shape[:-1], y[1].shape[-1])
    if isinstance(op, MaskedFill | Where | Add):
        try:
            return np.broadcast_shapes(*(a.shape for a in y))
        except ValueError:
            return ()
    return ()


def _mask_of(op: Op, y: Sequence[NDArray]) -> _Mask | None:
    """The positions that a node hides; None if it hides none."""
    if isinstance(op, MaskedFill):
        return _Mask(y[0] != 0, op.value) if op.value <= HIDES and y[0].ndim > 1 else None
    if isinstance(op, Where) and y[0].ndim > 1:
        for i, hidden in ((1, y[0] != 0), (2, y[0] == 0)):
            if _hides(y[i]):
                return _Mask(hidden, float(y[i].flat[0]))
        return None
    if isinstance(op, Add):
        return next((m for a in y if (m := _additive(a))), None)
    if isinstance(op, PlusProduct):
        return _additive(y[2]) if op.beta == 1.0 else None
    if not isinstance(op, Attention):
        return None
    T, S = y[0].shape[-2], y[1].shape[-2]
    own = _additive(y[3]) if op.mask and len(y) > 3 else None
    causal = ~np.tri(T, S, dtype=bool)
    if op.causal:
        return _Mask(causal | own.hidden if own else causal, -np.inf)
    return own


def _hides(a: NDArray) -> bool:
    """Whether an array is one number that hides what it is put in the place of."""
    if a.dtype.kind != "f" or not a.size:
        return False
    return bool((a == a.flat[0]).all()) and float(a.max()) <= HIDES


def _additive(a: NDArray) -> _Mask | None:
    """The mask that is 0 where a position is seen, and far below where it is hidden."""
    if a.dtype.kind != "f" or a.ndim < 2 or a.size < 2:
        return None
    hidden = a <= HIDES
    if not hidden.any() or hidden.all() or a[~hidden].any():
        return None
    return _Mask(hidden, float(a.min()))


def _distinct(masks: Sequence[_Mask]) -> list[_Mask]:
    found: list[_Mask] = []
    for mask in masks:
        if not any(np.array_equal(mask.hidden, m.hidden) for m in found):
            found.append(mask)
    return found


def _rearranged(own: _Mask | None) -> Iterator[_Mask]:
    """The mask left out, with its diagonal moved, transposed and inverted."""
    if own is None:
        return
    hidden, fill = own
    yield _Mask(np.zeros_like(hidden), fill)
    if _causal_by(hidden) is not None:
        for k in MOVED:
            T, S = hidden.shape[-2:]
            mask = ~np.tri(T, S, k, dtype=bool)
            yield _Mask(np.broadcast_to(mask, hidden.shape), fill if k > 0 else max(fill, -1e9))
    if hidden.shape[-1] == hidden.shape[-2]:
        yield _Mask(np.swapaxes(hidden, -1, -2), fill)
    yield _Mask(~hidden, max(fill, -1e9))


def _relation(own: _Mask | None, there: _Mask) -> str:
    if own is None or own.hidden.shape[-2:] != there.hidden.shape[-2:]:
        return ""
    a, b = np.broadcast_arrays(own.hidden, there.hidden)
    if a.shape[-1] == a.shape[-2] and np.array_equal(np.swapaxes(a, -1, -2), b):
        return ": transposed"
    return ": inverted" if np.array_equal(a, ~b) else ""


def _causal_by(hidden: NDArray) -> int | None:
    """The offset of the diagonal of a causal mask; None if the mask is not causal."""
    each = hidden.reshape(-1, *hidden.shape[-2:])
    T, S = each.shape[1:]
    k = int((~each[0, 0]).sum()) - 1 if each[0, 0].size else 0
    for at in dict.fromkeys((k, 0, -1)):
        mask = ~np.tri(T, S, at, dtype=bool)
        if mask.any() and (each == mask).all():
            return at
    return None


def _in_words(hidden: NDArray | None) -> str:
    """A mask in a few words."""
    if hidden is None:
        return "none"
    k = _causal_by(hidden)
    if k is not None:
        return "causal" + (f" with its diagonal moved by {k:+d}" if k else "")
    columns = hidden.all(-2, keepdims=True)
    if columns.any() and (hidden == columns).all():
        return f"of padding, which hides {int(columns.sum())} positions,"
    T, S = hidden.shape[-2:]
    if T > 1 and columns.any() and (hidden == (columns | ~np.tri(T, S, dtype=bool))).all():
        return "causal and of padding"
    return f"one that hides {int(hidden.sum())} of {hidden.size} positions"
