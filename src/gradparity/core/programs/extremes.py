"""The largest or smallest of an element and of all numbers that are brought to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.op import Op, Shape, Ties
from ..vocabulary.segments import SegmentMax

__all__ = ["ExtremeAt"]


@dataclass(frozen=True)
class ExtremeAt(Op):
    """z_k = max of y_k and of x_i over {i: ids_i = k};  dz_k goes to the largest.

    The inputs are the ids, of the shape of x, which count the elements of y in order; then y and x.
    At a tie any weights >= 0 that sum to one over the tied elements are valid.

    Parameters
    ----------
    least : take the smallest in place of the largest.
    ties : which element this op takes at a tie: "even" (equal weights), "first" or "last".

    >>> ExtremeAt().forward(np.array([1, 1]), np.array([1.0, 2.0]), np.array([4.0, 3.0]))
    array([1., 4.])
    """

    least: bool = False
    ties: str = field(default="even", kw_only=True)
    n_inputs: ClassVar[int | None] = 3
    integers: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[1]

    def _joined(self, y: tuple[Array, ...]) -> tuple[SegmentMax, NDArray, Array]:
        """The elements of y and x in one row, and the segment of each."""
        ids, a, x = y
        rows = np.concatenate([np.reshape(a, (a.size,)), np.reshape(x, (x.size,))])
        segments = np.concatenate([np.arange(a.size), np.ravel(ids)])
        return SegmentMax(a.size, ties=self.ties), segments, -rows if self.least else rows

    def forward(self, *y: Array) -> Array:
        op, ids, rows = self._joined(y)
        z = np.reshape(op.forward(ids, rows), y[1].shape)
        return -z if self.least else z

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        op, ids, rows = self._joined(y)
        d: Array = op.vjp(np.reshape(dz, (dz.size,)), (ids, rows), None)[1]
        n = y[1].size
        return None, np.reshape(d[:n], y[1].shape), np.reshape(d[n:], y[2].shape)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        op, ids, rows = self._joined(y)
        return self._of_inputs(op.subdifferential((ids, rows), tiny), y[1].size)

    def routes_of(self, y: tuple[NDArray, ...]) -> Ties | None:
        op, ids, rows = self._joined(y)
        return self._of_inputs(op.routes_of((ids, rows)), y[1].size)

    @staticmethod
    def _of_inputs(found: Ties | None, n: int) -> Ties | None:
        """The same routes, of which the first n elements are those of y and the others of x."""
        if found is None:
            return None
        other = found.element >= n
        return Ties.of(found.group, found.element - n * other, 1 + other)
