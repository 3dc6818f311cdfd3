"""Other conventions of CTC: the class of the blank, and the loss of a sequence by its length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, like
from ...core.formulas.op import Op, Shape
from ...core.vocabulary.alignments import CTC

__all__ = ["other_alignments"]


def other_alignments(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of each, for labels that do not hold the other blank."""
    if not isinstance(op, CTC):
        return
    for k in range(op.n):
        if k != op.blank and not (y[0] == k).any():
            said = f"right with blank = {k}, where the network has blank = {op.blank}"
            yield said, replace(op, blank=k)
    yield "right divided by the number of labels, as PyTorch's mean divides it", _PerLabel(op)


@dataclass(frozen=True)
class _PerLabel(Op):
    """The loss of each sequence over the number of its labels, or 1 where it has none."""

    op: CTC
    n_inputs: ClassVar[int | None] = None
    integers: ClassVar[bool] = True

    def _over(self, a: Array, labels: Array) -> Array:
        return a / like(np.maximum((labels >= 0).sum(axis=-1), 1).astype(np.float64), a)

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.op.output_shape(*shapes)

    def forward(self, *y: Array) -> Array:
        return self._over(self.op.forward(*y), y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return self.op.vjp(self._over(dz, y[0]), y, z)
