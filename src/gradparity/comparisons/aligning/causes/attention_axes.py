"""Attention of one op with its softmax over another axis, such as over the queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.attention import Attention
from ....core.formulas.layers import Softmax
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ..programs.edits import Edit

__all__ = ["other_softmax_axes"]

#: The axes of the weights that the softmax may run over by mistake, and what each counts.
AXES = {-2: "the queries", -3: "the heads"}


@dataclass(frozen=True)
class _Over(Op):
    """Attention with a softmax over another axis of its logits.

    Attributes
    ----------
    op, axis : the attention, and the axis.
    """

    op: Attention
    axis: int

    def forward(self, *y: Array) -> Array:
        made: Array = Softmax(axis=self.axis).f(_logits(self.op, *y)) @ y[2]
        return made


def _logits(op: Attention, *y: Array) -> Array:
    q, k = y[:2]
    logits = (q @ k.mT) * (q.shape[-1] ** -0.5 if op.scale is None else op.scale)
    if op.causal:
        logits = np.where(np.tri(q.shape[-2], k.shape[-2], dtype=bool), logits, -np.inf)
    return logits + y[3] if op.mask else logits


def other_softmax_axes(call: Call) -> Iterator[Edit]:
    """Yield attention with a softmax over the queries or the heads in the place of the keys."""
    if not isinstance(call.op, Attention):
        return
    rank = call.inputs[0].array.ndim
    for axis, counted in AXES.items():
        if -axis <= rank:
            said = "its softmax runs over axis -1, the keys, {here} and over "
            yield Edit(f"{said}axis {axis}, {counted}, {{there}}", _Over(call.op, axis))
