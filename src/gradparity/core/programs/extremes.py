"""Largest and smallest elements: of numbers that are brought together, and of sizes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.choices import Ties
from ..formulas.op import Op, Shape
from ..vocabulary.segments import SegmentMax

__all__ = ["ExtremeAt", "ExtremeSize"]


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


@dataclass(frozen=True)
class ExtremeSize(Op):
    """z = max_j |y_j| over the last axis, which is left out;  dz times sign(y_j) to the largest.

    At a tie any weights >= 0 that sum to one over the tied elements are valid; where z is 0, any
    numbers over the elements that are 0 whose sizes sum to at most one.  This op takes equal
    weights, and 0 where z is 0.

    Parameters
    ----------
    least : take the smallest size in place of the largest.

    >>> op, y = ExtremeSize(), np.array([3.0, -3.0, 1.0])
    >>> float(op.forward(y)), op.vjp(np.array(1.0), (y,), op.forward(y))[0].tolist()
    (3.0, [0.5, -0.5, 0.0])
    """

    least: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        if not shapes[0] or not shapes[0][-1]:
            raise ValueError(f"{self!r} takes the sizes of one element or more, not {shapes[0]}")
        return shapes[0][:-1]

    def _kept(self, y: Array) -> Array:
        """The extreme size, whose axis is kept."""
        return (
            -(-abs(y)).max(axis=-1, keepdims=True)
            if self.least
            else abs(y).max(axis=-1, keepdims=True)
        )

    def forward(self, *y: Array) -> Array:
        return np.squeeze(self._kept(y[0]), axis=-1)

    def _wins(self, y: Array) -> NDArray:
        wins: NDArray = abs(y) == self._kept(y)
        return wins

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        wins = self._wins(y[0])
        share = np.expand_dims(dz, -1) / wins.sum(axis=-1, keepdims=True).astype(dz.dtype)
        return (np.where(wins & (y[0] > 0), share, np.where(wins & (y[0] < 0), -share, 0)),)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        a = np.where(np.abs(y[0]) < tiny, 0.0, y[0])
        wins = self._wins(a)
        tied = wins & ((wins.sum(axis=-1, keepdims=True) > 1) | (a == 0))
        at = np.flatnonzero(tied)
        found = Ties.of(at // a.shape[-1], at)
        return found and replace(found, sign=np.sign(a).ravel()[at])
