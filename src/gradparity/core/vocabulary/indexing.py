"""Elements chosen and replaced by integers: gather, scatter, masked fill, dropout.

The integers are the first input; they have no gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved, moved_back
from ..formulas.arguments import (
    axes_in,
    broadcast,
    finite,
    is_finite,
    mask_of_0_and_1,
    positive,
    refused,
    true_or_false,
    whole,
)
from ..formulas.op import Op, Shape

__all__ = ["Dropout", "Gather", "MaskedFill", "Scatter"]


@dataclass(frozen=True)
class _ByIndex(Op):
    """An op whose first input are indices along an axis of length n."""

    n: int
    axis: int = -1
    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "n")
        whole(self, "axis")

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        return rng.integers(0, self.n, shape)

    def check_integers(self, ids: NDArray) -> None:
        """Raises ValueError for an index outside of the axis."""
        if ids.size and (ids.min() < 0 or ids.max() >= self.n):
            raise ValueError(
                f"{self!r}: its ids run from {ids.min()} to {ids.max()}; give ids from 0 to "
                f"{self.n - 1}"
            )

    def _checked(self, ids: Shape, y: Shape) -> None:
        (at,) = axes_in(self, self.axis, y)
        if len(ids) != len(y) or y[at] != self.n or _but(ids, at) != _but(y, at):
            raise ValueError(
                f"{self!r} takes {self.n} elements along its axis, and ids whose shape differs in "
                f"that axis alone, received ids {ids} and a value of shape {y}"
            )

    def _gathered(self, a: Array, ids: NDArray) -> Array:
        return moved(a, lambda a, _: np.take_along_axis(a, ids, self.axis))

    def _scattered(self, a: Array, ids: NDArray, shape: Shape) -> Array:
        """The adjoint: every element back where it was taken, several added up."""

        def back(a: NDArray) -> NDArray:
            out = np.zeros(shape, a.dtype)
            at: Any = list(np.indices(ids.shape, sparse=True))
            at[self.axis] = ids
            np.add.at(out, tuple(at), a)
            return out

        return moved_back(a, back)


def _but(shape: Shape, at: int) -> Shape:
    return (*shape[:at], *shape[at + 1 :])


@dataclass(frozen=True)
class Gather(_ByIndex):
    """z[.., k, ..] = y[.., ids[.., k, ..], ..] along an axis;  dy = dz back where it was taken.

    Parameters
    ----------
    n : length of the axis.
    axis : the axis, the last by default.

    >>> Gather(6).output_shape((5, 2), (5, 6))
    (5, 2)
    """

    n_inputs: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        self._checked(*shapes)
        return shapes[0]

    def forward(self, *y: Array) -> Array:
        return self._gathered(y[1], y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return None, self._scattered(dz, y[0], y[1].shape)


@dataclass(frozen=True)
class Scatter(_ByIndex):
    """z = y with x put in at the ids along an axis, or added there.

    Put: dy = dz, but 0 at the ids;  dx = dz at the ids.  Added: dy = dz.

    Parameters
    ----------
    n : length of the axis of y.
    axis : the axis, the last by default.
    accumulate : add; else the ids of a line must differ, for one of equal ones would win.

    The inputs are ids, y and x; x has the shape of ids.

    >>> y, x = np.array([[1.0, 2.0, 3.0]]), np.array([[9.0]])
    >>> Scatter(3).forward(np.array([[1]]), y, x)
    array([[1., 9., 3.]])
    """

    accumulate: bool = False
    n_inputs: ClassVar[int | None] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        true_or_false(self, "accumulate")

    def output_shape(self, *shapes: Shape) -> Shape:
        ids, y, x = shapes
        self._checked(ids, y)
        if ids != x:
            raise ValueError(f"{self!r}: ids have shape {ids} and x {x}; give the same shape")
        self._check_room(ids)
        return y

    def _check_room(self, ids: Shape) -> None:
        k = ids[self.axis]
        if k > self.n and not self.accumulate:
            raise ValueError(
                f"{self!r}: {k} ids of a line cannot differ, for the axis has {self.n} elements; "
                f"give {self.n} ids at most, or accumulate=True to add"
            )

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        if self.accumulate:
            return super().sample_integers(rng, shape)
        self._check_room(shape)
        k, lines = shape[self.axis], _but(shape, self.axis % len(shape))
        order = np.argsort(rng.random((*lines, self.n)), axis=-1)[..., :k]
        return np.moveaxis(order, -1, self.axis)

    def check_integers(self, ids: NDArray) -> None:
        """Raises ValueError for an index outside of the axis, or for one that is there twice."""
        super().check_integers(ids)
        if not self.accumulate and (np.diff(np.sort(ids, self.axis), axis=self.axis) == 0).any():
            raise ValueError(f"{self!r}: an index is there twice; give accumulate=True to add")

    def forward(self, *y: Array) -> Array:
        ids, a, x = y
        there = self._scattered(x, ids, a.shape)
        return a + there if self.accumulate else np.where(self._met(ids, a), there, a)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        ids, a, _ = y
        dy = dz if self.accumulate else np.where(self._met(ids, a), 0, dz)
        return None, dy, self._gathered(dz, ids)

    def _met(self, ids: NDArray, a: Array) -> NDArray:
        """True where something is put in."""
        met: NDArray = self._scattered(np.ones(ids.shape), ids, a.shape) > 0
        return met


class _Masked(Op):
    """An op with a mask, of whole numbers that broadcast to the shape of y, and y."""

    n_inputs: ClassVar[int | None] = 2
    integers: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        mask, y = shapes
        if broadcast(self, shapes) != y:
            raise ValueError(f"{self!r}: a mask of shape {mask} does not broadcast to {y}")
        return y

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        if y[0].any() and not y[0].all():
            return ""
        return f"the mask chooses {'every' if y[0].any() else 'no'} element"


@dataclass(frozen=True)
class MaskedFill(_Masked):
    """z = `value` where the mask is not 0, else y;  dy = dz, but 0 there.

    Parameters
    ----------
    value : any number; -inf hides an element from a softmax.

    The inputs are the mask, whole numbers that broadcast to the shape of y, and y.

    >>> MaskedFill(-9.0).forward(np.array([0, 1]), np.array([[1.0, 2.0]]))
    array([[ 1., -9.]])
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        if self.value not in (-math.inf, math.inf):
            finite(self, "value")

    @property
    def hides(self) -> bool:
        return math.isinf(self.value)

    def forward(self, *y: Array) -> Array:
        return np.where(y[0] != 0, self.value, y[1])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return None, np.where(y[0] != 0, 0, dz)


@dataclass(frozen=True)
class Dropout(_Masked):
    """z = y / (1 - p) where the mask is not 0, else 0 (Srivastava et al. 2014);  dy alike.

    Parameters
    ----------
    p : the probability that an element is left out; the mask is drawn beforehand.

    The inputs are the mask, 1 for what is kept, and y.

    >>> Dropout(0.5).forward(np.array([1, 0]), np.array([[1.0, 2.0]]))
    array([[2., 0.]])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not is_finite(self.p) or not 0 <= self.p < 1:
            give = "the probability that an element is left out, >= 0 and < 1, such as 0.1"
            raise refused(self, "p", self.p, give)
        finite(self, "p")

    def check_integers(self, mask: NDArray) -> None:
        """Raises ValueError for a mask of other numbers than 0 and 1."""
        mask_of_0_and_1(self, mask, "kept", "left out")

    def forward(self, *y: Array) -> Array:
        return np.where(y[0] != 0, y[1] / (1 - self.p), 0)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return None, np.where(y[0] != 0, dz / (1 - self.p), 0)
