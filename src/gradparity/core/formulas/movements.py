"""Movements: ops that only rearrange elements, and the adjoint pair of broadcasting and summing.

A movement has a `move` and its adjoint `move_back`; both are exact, except that elements which
several places took are added up on the way back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast
from ..arithmetic.carried import axes_of
from .arguments import axes_in, broadcast, is_whole, listed, refused, whole, wholes
from .op import Movement, Op, Shape

__all__ = ["Broadcast", "Mean", "Reshape", "Select", "Sum", "Transpose"]


@dataclass(frozen=True)
class Reshape(Movement):
    """The same elements in another shape.

    Parameters
    ----------
    shape : of one sample; -1 stands for what is left over.
    keep : how many leading axes stay as they are: 1, the batch axis, by default.

    >>> Reshape((6,)).output_shape((5, 2, 3))
    (5, 6)
    """

    shape: tuple[int, ...]
    keep: int = 1

    def __post_init__(self) -> None:
        wholes(self, "shape", -1)
        if self.shape.count(-1) > 1:
            raise refused(self, "shape", self.shape, "-1 for one axis at most")
        whole(self, "keep", least=0)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if self.keep > len(shape):
            raise ValueError(
                f"{self!r} keeps {self.keep} axes, received shape {shape}; give keep <= "
                f"{len(shape)}"
            )
        n, fixed = math.prod(shape[self.keep :]), math.prod(k for k in self.shape if k != -1)
        if n % fixed if -1 in self.shape and fixed else n != fixed:
            raise ValueError(
                f"{self!r} does not fit shape {shape}: the axes after the first {self.keep} hold "
                f"{n} elements; give a shape that holds as many"
            )
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        return a.reshape((*a.shape[: self.keep], *self.shape))

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        return dz.reshape(shape)


@dataclass(frozen=True)
class Transpose(Movement):
    """The axes in another order.

    Parameters
    ----------
    axes : the order; None exchanges the last two.

    >>> Transpose((1, 0, 2)).output_shape((5, 2, 3))
    (2, 5, 3)
    """

    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.axes is not None:
            wholes(self, "axes", other=", or None to exchange the last two")

    def output_shape(self, *shapes: Shape) -> Shape:
        rank = len(shapes[0])
        if rank < 2 or (self.axes is not None and sorted(self.axes) != list(range(rank))):
            raise ValueError(f"{self!r} does not fit a value of shape {shapes[0]}")
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.swapaxes(a, -1, -2) if self.axes is None else np.transpose(a, self.axes)

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        return self.move(dz, 0.0) if self.axes is None else np.transpose(dz, np.argsort(self.axes))


@dataclass(frozen=True)
class Select(Movement):
    """One entry of an axis, which is dropped: a step of a sequence, say.

    Parameters
    ----------
    index : which entry.
    axis : of which axis, 1 by default.

    >>> Select(2).output_shape((5, 4, 3))
    (5, 3)
    """

    index: int
    axis: int = 1

    def __post_init__(self) -> None:
        whole(self, "index", "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        (at,) = axes_in(self, self.axis, shape)
        if not -shape[at] <= self.index < shape[at]:
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        taken: NDArray = np.take(a, self.index, axis=self.axis)
        return taken

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        out = np.zeros(shape, dz.dtype)
        np.moveaxis(out, self.axis, 0)[self.index] = dz
        return out


@dataclass(frozen=True)
class Broadcast(Op):
    """z = y in a larger shape;  dy = the sum of dz over the axes that were added or stretched.

    Parameters
    ----------
    shape : of the result.
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        wholes(self, "shape", 0)

    def output_shape(self, *shapes: Shape) -> Shape:
        if broadcast(self, (shapes[0], self.shape)) != self.shape:
            raise ValueError(f"{self.name}: {shapes[0]} does not broadcast to {self.shape}")
        return self.shape

    def forward(self, *y: Array) -> Array:
        return np.broadcast_to(y[0], self.shape)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (unbroadcast(dz, y[0].shape),)


@dataclass(frozen=True)
class OverAxes(Op):
    """An op that leaves out the axes it runs over."""

    axis: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if is_whole(self.axis):
            whole(self, "axis")
        elif listed(self.axis) == ():
            differ = "NumPy and PyTorch differ on a sum over none"
            raise refused(self, "axis", self.axis, f"one axis or more, or None for all: {differ}")
        elif self.axis is not None:
            wholes(self, "axis", other=", one whole number, or None for all axes")

    def output_shape(self, *shapes: Shape) -> Shape:
        axes = axes_in(self, self.axis, shapes[0])
        return tuple(n for i, n in enumerate(shapes[0]) if i not in axes)

    def beside(self, dz: Array, shape: Shape) -> Array:
        """An array like the output, with its axes of length 1 in place, beside an input."""
        axes = axes_of(self.axis, len(shape))
        return np.reshape(dz, [1 if i in axes else n for i, n in enumerate(shape)])

    def terms(self, shape: Shape) -> int:
        """The number of elements of an input of this shape that make one of the output."""
        return math.prod(shape[a] for a in axes_of(self.axis, len(shape)))


@dataclass(frozen=True)
class Sum(OverAxes):
    """z = the sum over some axes;  dy = dz at every element of the sum.

    Parameters
    ----------
    axis : one axis, several, or None for all of them.

    >>> Sum((1, 2)).output_shape((5, 4, 3))
    (5,)
    """

    def forward(self, *y: Array) -> Array:
        return y[0].sum(axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (np.broadcast_to(self.beside(dz, y[0].shape), y[0].shape),)


@dataclass(frozen=True)
class Mean(Sum):
    """z = the mean over some axes;  dy = dz / n at every element.

    Parameters
    ----------
    axis : one axis, several, or None for all of them.
    """

    def forward(self, *y: Array) -> Array:
        return y[0].sum(axis=self.axis) / self.terms(y[0].shape)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return super().vjp(dz / self.terms(y[0].shape), y, z)
