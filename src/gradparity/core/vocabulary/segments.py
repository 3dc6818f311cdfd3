"""Sums, means and maxima over segments: elements of an axis that share an integer.

The ids are the first input; they have no gradient.  They run over axis 0 alone, or over axes 0 and
1: then every sample has segments of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, like, moved, moved_back
from ..formulas.arguments import is_finite, one_of, positive, refused, whole
from ..formulas.choices import Ties
from ..formulas.maxima import first_of
from ..formulas.op import Op, Shape

__all__ = ["SegmentMax", "SegmentMean", "SegmentSum"]


@dataclass(frozen=True)
class _Segments(Op):
    """An op on n segments of axis 0 or 1."""

    n: int
    axis: int = 0
    n_inputs: ClassVar[int | None] = 2
    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "n")
        whole(self, "axis")
        if self.axis not in (0, 1):
            raise refused(self, "axis", self.axis, "0 or 1")

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        return rng.integers(0, self.n, shape)

    def check_integers(self, ids: NDArray) -> None:
        """Raises ValueError for an id that is not a segment."""
        if ids.size and (ids.min() < 0 or ids.max() >= self.n):
            raise ValueError(
                f"{self!r}: its ids run from {ids.min()} to {ids.max()}; give ids from 0 to "
                f"{self.n - 1}"
            )

    def output_shape(self, *shapes: Shape) -> Shape:
        ids, y = shapes
        if len(y) <= self.axis or ids != y[: self.axis + 1]:
            raise ValueError(
                f"{self!r} takes ids of the shape of the value up to axis {self.axis}, received "
                f"ids {ids} and a value of shape {y}"
            )
        return (*y[: self.axis], self.n, *y[self.axis + 1 :])

    def _homes(self, ids: NDArray) -> tuple[Any, ...]:
        """Index of the segment of every element, into the output."""
        return (ids,) if self.axis == 0 else (np.arange(len(ids))[:, np.newaxis], ids)

    def _added(self, a: Array, ids: NDArray) -> Array:
        """The sum of every segment; 0 where it is empty."""
        shape, homes = self.output_shape(ids.shape, a.shape), self._homes(ids)

        def back(a: NDArray) -> NDArray:
            out = np.zeros(shape, a.dtype)
            np.add.at(out, homes, a)
            return out

        return moved_back(a, back)

    def _spread(self, dz: Array, ids: NDArray) -> Array:
        """The segment's value at each of its elements."""
        homes = self._homes(ids)
        return moved(dz, lambda a, _: a[homes])

    def _counts(self, ids: NDArray, y: Array) -> Array:
        """The size of each segment, 1 for an empty one, shaped to broadcast to the output."""
        counts = np.maximum(self._added(np.ones(ids.shape), ids), 1.0)
        return like(counts.reshape(*counts.shape, *[1] * (y.ndim - ids.ndim)), y)


@dataclass(frozen=True)
class SegmentSum(_Segments):
    """z_k = sum over {i: ids_i = k} of y_i, 0 for an empty segment;  dy_i = dz_{ids_i}.

    Parameters
    ----------
    n : how many segments; ids are integers in [0, n).
    axis : 0, and ids have shape (N,); or 1, and ids have shape (N, L).

    >>> SegmentSum(2).forward(np.array([0, 0, 1]), np.array([1.0, 2.0, 4.0]))
    array([3., 4.])
    """

    def forward(self, *y: Array) -> Array:
        return self._added(y[1], y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return None, self._spread(dz, y[0])


@dataclass(frozen=True)
class SegmentMean(_Segments):
    """z_k = mean over {i: ids_i = k} of y_i, 0 for an empty segment;  dy_i = dz_k / count_k.

    Parameters
    ----------
    n : how many segments; ids are integers in [0, n).
    axis : 0, and ids have shape (N,); or 1, and ids have shape (N, L).
    """

    def forward(self, *y: Array) -> Array:
        return self._added(y[1], y[0]) / self._counts(y[0], y[1])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return None, self._spread(dz / self._counts(y[0], y[1]), y[0])


@dataclass(frozen=True)
class SegmentMax(_Segments):
    """z_k = max over {i: ids_i = k} of y_i;  dy_i = w_i dz_k, w_i = 1 for the largest, else 0.

    At a tie any weights >= 0 that sum to one over the tied elements are valid.

    Parameters
    ----------
    n : how many segments; ids are integers in [0, n).
    axis : 0, and ids have shape (N,); or 1, and ids have shape (N, L).
    fill : z_k of an empty segment, which sends no gradient.
    ties : which element this op takes at a tie: "even" (equal weights), "first" or "last".

    >>> SegmentMax(3).forward(np.array([0, 0, 2]), np.array([1.0, 2.0, 4.0]))
    array([  2., -inf,   4.])
    """

    fill: float = -math.inf
    ties: str = field(default="even", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_finite(self.fill) and self.fill not in (math.inf, -math.inf):
            raise refused(self, "fill", self.fill, "a number, such as 0.0 or -math.inf")
        one_of(self, "ties", ("first", "last", "even"))

    @property
    def hides(self) -> bool:
        return math.isinf(self.fill)

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        empty = ~(y[0][..., np.newaxis] == np.arange(self.n)).any(axis=-2)
        if not self.hides or not empty.any():
            return super().unexercised(y)
        k = int(np.argwhere(empty)[0][-1])
        return f"segment {k} is empty, so z is {self.fill} there; give fill=0.0 for a finite one"

    def _members(self, ids: NDArray) -> NDArray:
        """Indices of the elements of every segment, (.., n, most of one); the length for none."""
        length = ids.shape[-1]
        order = np.argsort(ids, axis=-1, kind="stable")
        ordered = np.take_along_axis(ids, order, -1)
        place = np.broadcast_to(np.arange(length), ids.shape)
        begins = np.diff(ordered, axis=-1, prepend=-1) != 0
        start = np.maximum.accumulate(np.where(begins, place, 0), axis=-1)
        rank = np.empty(ids.shape, int)
        np.put_along_axis(rank, order, place - start, -1)
        most = int(rank.max(initial=0)) + 1
        members = np.full((*ids.shape[:-1], self.n, most), length)
        members[(*self._homes(ids), rank)] = np.arange(length)
        return members

    def _grouped(self, a: NDArray, fill: Any, ids: NDArray) -> NDArray:
        """The elements of every segment side by side, on a new axis behind that of segments."""
        members = self._members(ids)
        none = np.full((*a.shape[: self.axis], 1, *a.shape[self.axis + 1 :]), fill, a.dtype)
        a = np.concatenate([a, none], axis=self.axis)
        grouped: NDArray = a[
            members if self.axis == 0 else (np.arange(len(ids))[:, None, None], members)
        ]
        return grouped

    def _sources(self, ids: NDArray, shape: Shape) -> NDArray:
        """The flat index of every grouped element; -1 for none."""
        return self._grouped(np.arange(math.prod(shape)).reshape(shape), -1, ids)

    def _wins(self, groups: Array, sources: NDArray) -> NDArray:
        wins: NDArray = groups == groups.max(axis=self.axis + 1, keepdims=True)
        return wins & (sources >= 0)

    def forward(self, *y: Array) -> Array:
        ids, a = y
        best = moved(a, lambda a, fill: self._grouped(a, fill, ids), -math.inf)
        best = best.max(axis=self.axis + 1)
        met = (self._sources(ids, a.shape) >= 0).any(axis=self.axis + 1)
        return np.where(met, best, self.fill)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        (ids, a), over = y, self.axis + 1
        sources = self._sources(ids, a.shape)
        groups = moved(a, lambda a, fill: self._grouped(a, fill, ids), -math.inf)
        wins = first_of(self._wins(groups, sources), self.ties, over)
        dz = np.expand_dims(dz, over)
        if self.ties == "even":
            dz = dz / np.maximum(wins.sum(axis=over, keepdims=True), 1).astype(dz.dtype)

        def back(share: NDArray) -> NDArray:
            out = np.zeros(math.prod(a.shape), share.dtype)
            np.add.at(out, sources[sources >= 0], share[sources >= 0])
            return out.reshape(a.shape)

        return None, moved_back(np.where(wins, dz, 0), back)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        ids, a = y
        a = np.where(np.abs(a) < tiny, 0.0, a)
        wins = self._wins(self._grouped(a, -math.inf, ids), self._sources(ids, a.shape))
        tied = wins & (wins.sum(axis=self.axis + 1, keepdims=True) > 1)
        return self._slots(tied, ids, a.shape)

    def routes_of(self, y: tuple[NDArray, ...]) -> Ties | None:
        ids, a = y
        return self._slots(self._sources(ids, a.shape) >= 0, ids, a.shape)

    def _slots(self, chosen: NDArray, ids: NDArray, shape: Shape) -> Ties | None:
        out = self.output_shape(ids.shape, shape)
        group = np.expand_dims(np.arange(math.prod(out)).reshape(out), self.axis + 1)
        group = np.broadcast_to(group, chosen.shape)
        return Ties.of(group[chosen], self._sources(ids, shape)[chosen], 1)
