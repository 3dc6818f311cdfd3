"""Max and its relatives (lecture, sections 2 and 7): over all inputs, over subsets, over pieces.

`Extreme` and `ExtremeOfTwo` are what maxima and minima share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, scatter_add, split, unbroadcast, usual
from .arguments import (
    axes_in,
    broadcast,
    index_rows,
    index_within,
    indices,
    one_of,
    positive,
    refused,
    whole,
    whole_numbers,
)
from .choices import Ties
from .layers import Affine
from .op import Activation, Compound, Movement, Op, Shape

__all__ = ["Max", "MaxSubsets", "Maximum", "Maxout", "Take", "first_of"]


def first_of(wins: NDArray, ties: str, axis: int = -1) -> NDArray:
    """The winners along an axis that a rule takes: "first", "last" or "even" (all).

    >>> first_of(np.array([True, False, True]), "last").tolist()
    [False, False, True]
    """
    if ties == "even":
        return wins
    if ties == "last":
        return np.flip(first_of(np.flip(wins, axis), "first", axis), axis)
    first: NDArray = wins & (np.cumsum(wins, axis=axis) == 1)
    return first


@dataclass(frozen=True)
class Extreme(Activation):
    """The largest element of each group of inputs, or the smallest: see `Max`."""

    sizes: tuple[int, ...] | None = None
    axis: int = field(default=-1, kw_only=True)
    ties: str = field(default="first", kw_only=True)

    def __post_init__(self) -> None:
        if self.sizes is not None:
            sizes = whole_numbers(self.sizes, 1)
            if not sizes:
                give = "the groups' sizes, whole numbers >= 1 such as (2, 2), or None for one group"
                raise refused(self, "sizes", self.sizes, give)
            object.__setattr__(self, "sizes", sizes)
        whole(self, "axis")
        one_of(self, "ties", ("first", "last", "even"))

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, (at,) = list(shapes[0]), axes_in(self, self.axis, shapes[0])
        if self.sizes and shape[at] != sum(self.sizes):
            raise ValueError(
                f"{self.name}(sizes={self.sizes}) takes a value of width {sum(self.sizes)}, the "
                f"sum of the sizes; received shape {shapes[0]}, whose axis {self.axis} has "
                f"length {shape[at]}"
            )
        shape[at] = len(self.sizes) if self.sizes else 1
        return tuple(shape)

    def parts(self, length: int) -> tuple[int, ...]:
        """The sizes of the groups, for an axis of this length."""
        return self.sizes or (length,)

    def groups(self, z: Array) -> list[Array]:
        """The groups of z, as slices along the axis."""
        return split(z, self.parts(z.shape[self.axis]), self.axis)

    def upward(self, z: Array) -> Array:
        """z, or -z where the smallest element is sought."""
        return z

    def f(self, z: Array) -> Array:
        best = [g.max(axis=self.axis, keepdims=True) for g in self.groups(self.upward(z))]
        return self.upward(np.concatenate(best, axis=self.axis))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        share, groups = [], self.groups(self.upward(z))
        for g, dyi in zip(groups, split(dy, [1] * len(groups), self.axis), strict=True):
            wins = first_of(g == g.max(axis=self.axis, keepdims=True), self.ties, self.axis)
            if self.ties == "even":
                dyi = dyi / wins.sum(axis=self.axis, keepdims=True).astype(dy.dtype)
            share.append(np.where(wins, dyi, 0))
        return np.concatenate(share, axis=self.axis)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        z = np.where(np.abs(y[0]) < tiny, 0.0, y[0])
        wins = [g == g.max(axis=self.axis, keepdims=True) for g in self.groups(self.upward(z))]
        tied = [w & (w.sum(axis=self.axis, keepdims=True) > 1) for w in wins]
        at = np.flatnonzero(np.concatenate(tied, axis=self.axis))
        return Ties.of(self._homes(z.shape)[at], at)

    def routes(self, *shapes: Shape) -> Ties | None:
        return Ties.of(self._homes(shapes[0]), np.arange(math.prod(shapes[0])))

    def _homes(self, shape: Shape) -> NDArray:
        """The group of every element of a value of this shape, both as flat indices."""
        groups = self.output_shape(shape)
        home = np.arange(math.prod(groups)).reshape(groups)
        return np.repeat(home, self.parts(shape[self.axis]), axis=self.axis).ravel()


@dataclass(frozen=True)
class Max(Extreme):
    """y = max_j z_j over each group of inputs;  dz_j = w_j dy, w_j = 1 for the largest, else 0.

    At a tie any weights >= 0 that sum to one over the tied inputs are valid.

    Parameters
    ----------
    sizes : widths of the groups, which are consecutive inputs; None for one group of them all.
    axis : of the groups, the last by default; it is kept, with one element per group.
    ties : which element this op takes at a tie: "first", "last", or "even" (equal weights).

    >>> op = Max(sizes=(2, 1))
    >>> op.f(np.array([[1.0, 3.0, 2.0]]))
    array([[3., 2.]])
    """


@dataclass(frozen=True)
class ExtremeOfTwo(Op):
    """The larger of two values, elementwise, or the smaller: see `Maximum`."""

    ties: str = field(default="even", kw_only=True)
    n_inputs: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        one_of(self, "ties", ("first", "last", "even"))

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def beyond(self, a: Array, b: Array) -> NDArray:
        """Whether a is chosen and not b."""
        raise NotImplementedError

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, b = y
        weight = {"first": 1.0, "last": 0.0, "even": 0.5}[self.ties]
        one = np.where(a == b, weight * dz, np.where(self.beyond(a, b), dz, 0))
        other = np.where(a == b, (1.0 - weight) * dz, np.where(self.beyond(b, a), dz, 0))
        return unbroadcast(one, a.shape), unbroadcast(other, b.shape)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        a, b = (np.where(np.abs(each) < tiny, 0.0, each) for each in y)
        return Ties.of_elements(a == b, a.shape, b.shape)

    def routes(self, *shapes: Shape) -> Ties | None:
        return self.subdifferential(tuple(np.zeros(shape) for shape in shapes), 0.0)


@dataclass(frozen=True)
class Maximum(ExtremeOfTwo):
    """z = max(a, b), elementwise, with broadcasting;  dz goes to the larger.

    At a tie any two weights >= 0 that sum to one are valid.

    Parameters
    ----------
    ties : which this op takes at a tie: "first", "last", or "even" (half to each).
    """

    def beyond(self, a: Array, b: Array) -> NDArray:
        larger: NDArray = a > b
        return larger

    def forward(self, *y: Array) -> Array:
        a, b = y
        return usual(
            np.maximum(a, b),
            {},
            {
                "a + relu(b - a)": lambda: a + np.maximum(b - a, 0),
                "b + relu(a - b)": lambda: b + np.maximum(a - b, 0),
                "(a + b + |a - b|) / 2": lambda: 0.5 * ((a + b) + abs(a - b)),
            },
        )


@dataclass(frozen=True)
class Take(Movement):
    """y_k = z_{indices[k]} along the last axis;  dz_l = sum over {k : indices[k] = l} of dy_k."""

    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", indices(self, "indices", self.indices))

    def output_shape(self, *shapes: Shape) -> Shape:
        index_within(self, max(self.indices), shapes[0])
        return (*shapes[0][:-1], len(self.indices))

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.take(a, self.indices, axis=-1)

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        return scatter_add(dz, self.indices, shape[-1])


@dataclass(frozen=True)
class MaxSubsets(Activation):
    """Max over subsets of the last axis: y_i = max over l in S_i of z_l; subsets may overlap.

    An input in several subsets sums its contributions; at ties in overlapping subsets any weights
    are valid that some choice in each subset gives.

    Parameters
    ----------
    subsets : the S_i; none empty, no index twice in one.
    ties : as in `Max`.
    """

    subsets: Sequence[Sequence[int]]
    ties: str = field(default="first", kw_only=True)

    def __post_init__(self) -> None:
        subsets = index_rows(self, "subsets")
        object.__setattr__(self, "subsets", subsets)
        for i, subset in enumerate(self.subsets):
            if not len(subset) or len(set(subset)) != len(subset):
                raise ValueError(
                    f"MaxSubsets: subset {i} is {list(subset)}; give each index once, none empty"
                )
        one_of(self, "ties", ("first", "last", "even"))

    @property
    def taken(self) -> Take:
        """The subsets side by side."""
        return Take(tuple(i for subset in self.subsets for i in subset))

    @property
    def largest(self) -> Max:
        """The maximum of each."""
        return Max(tuple(len(subset) for subset in self.subsets), ties=self.ties)

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.largest.output_shape(self.taken.output_shape(*shapes))

    def f(self, z: Array) -> Array:
        return self.largest.f(self.taken.forward(z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        taken = self.taken.forward(z)
        (dz,) = self.taken.vjp(self.largest.df(dy, taken, y), (z,), taken)
        return dz

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        ties = self.largest.subdifferential((self.taken.move(y[0], 0.0),), tiny)
        return self._through(ties, y[0].shape)

    def routes(self, *shapes: Shape) -> Ties | None:
        return self._through(self.largest.routes(self.taken.output_shape(*shapes)), shapes[0])

    def _through(self, ties: Ties | None, shape: Shape) -> Ties | None:
        """The ties of what was taken as ties of the input."""
        if ties is None:
            return None
        source = self.taken.move(np.arange(math.prod(shape)).reshape(shape), 0.0)
        return Ties.of(ties.group, source.ravel()[ties.element])


@dataclass(frozen=True)
class Maxout(Compound):
    """Maxout: y_i = max over k pieces of an affine map; an `Affine` and a `Max` over its pieces.

    Parameters
    ----------
    n_in, n_out : widths; W has shape (n_in, n_out k), the pieces of one output side by side.
    pieces : k.
    ties : as in `Max`.
    """

    n_in: int
    n_out: int
    pieces: int = 2
    ties: str = field(default="first", kw_only=True)

    def __post_init__(self) -> None:
        positive(self, "n_in", "n_out", "pieces")
        self.chain()

    def chain(self) -> tuple[tuple[str, Op], ...]:
        pieces = Affine(self.n_in, self.n_out * self.pieces)
        best = Max((self.pieces,) * self.n_out, ties=self.ties)
        return ("_pieces", pieces), ("", best)
