"""Further movements: parts of a value, copies of it, and its elements in another order.

A formula is one NumPy function; where its elements go back to is read off the same function,
applied to their numbers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved, split
from ..formulas.arguments import (
    axes_in,
    finite,
    is_whole,
    listed,
    one_of,
    refused,
    true_or_false,
    whole,
    wholes,
)
from ..formulas.op import Movement, Op, Shape

__all__ = [
    "Diagonal",
    "Flip",
    "Pad",
    "PixelShuffle",
    "Rearrangement",
    "Repeat",
    "Roll",
    "Slice",
    "Split",
    "Stack",
    "Tile",
    "Triangle",
]


class Rearrangement(Movement):
    """A movement whose way back is read off the way there."""

    @abstractmethod
    def move(self, a: NDArray, fill: float) -> NDArray:
        """The rearranged array, with `fill` where no element comes from the input."""

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        n = math.prod(shape)
        source = self.move(np.arange(n).reshape(shape), -1)
        inside = source >= 0
        out = np.zeros(n, dz.dtype)
        np.add.at(out, source[inside], dz[inside])
        return out.reshape(shape)


@dataclass(frozen=True)
class Slice(Rearrangement):
    """Elements `start` up to `stop`, every `step`-th one, along an axis.

    Parameters
    ----------
    start, stop, step : as in Python's slices; None for the end, and a step that is not 0.
    axis : the axis, the last by default.

    >>> Slice(1, None, 2).output_shape((5, 6))
    (5, 3)
    """

    start: int | None = None
    stop: int | None = None
    step: int = 1
    axis: int = -1

    def __post_init__(self) -> None:
        for name in ("start", "stop"):
            if getattr(self, name) is not None:
                whole(self, name)
        whole(self, "step", "axis")
        if self.step == 0:
            raise refused(self, "step", 0, "a whole number that is not 0")

    def output_shape(self, *shapes: Shape) -> Shape:
        axes_in(self, self.axis, shapes[0])
        shape = super().output_shape(*shapes)
        if 0 in shape:
            raise ValueError(f"{self!r} leaves nothing of a value of shape {shapes[0]}")
        return shape

    def move(self, a: NDArray, fill: float) -> NDArray:
        lead = (slice(None),) * (self.axis % a.ndim)
        part: NDArray = a[(*lead, slice(self.start, self.stop, self.step))]
        return part


@dataclass(frozen=True)
class _Along(Rearrangement):
    """A rearrangement along one axis."""

    def output_shape(self, *shapes: Shape) -> Shape:
        axes_in(self, self.axis, shapes[0])  # type: ignore[attr-defined]
        return super().output_shape(*shapes)


@dataclass(frozen=True)
class Flip(_Along):
    """The elements of an axis in reverse order.

    Parameters
    ----------
    axis : the axis, the last by default.

    >>> Flip().move(np.array([[1, 2, 3]]), 0)
    array([[3, 2, 1]])
    """

    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "axis")

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.flip(a, self.axis)


@dataclass(frozen=True)
class Roll(_Along):
    """The elements of an axis shifted by `shift`; those that leave come in at the other end.

    Parameters
    ----------
    shift : by how many elements, towards the end if positive.
    axis : the axis, the last by default.
    """

    shift: int
    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "shift", "axis")

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.roll(a, self.shift, self.axis)


@dataclass(frozen=True)
class _Times(_Along):
    """The elements of one axis `n` times."""

    n: int
    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "n", least=1)
        whole(self, "axis")


@dataclass(frozen=True)
class Repeat(_Times):
    """Every element of an axis `n` times in a row: a a b b.

    Parameters
    ----------
    n : how many times.
    axis : the axis, the last by default.
    """

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.repeat(a, self.n, self.axis)


@dataclass(frozen=True)
class Tile(_Times):
    """An axis `n` times: a b a b.

    Parameters
    ----------
    n : how many times.
    axis : the axis, the last by default.
    """

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.concatenate([a] * self.n, self.axis)


@dataclass(frozen=True)
class Diagonal(Rearrangement):
    """The diagonal of the last two axes.

    Parameters
    ----------
    offset : above (> 0) or below (< 0) the main one.
    """

    offset: int = 0

    def __post_init__(self) -> None:
        whole(self, "offset")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if len(shape) < 2 or not -shape[-2] < self.offset < shape[-1]:
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        return np.diagonal(a, self.offset, -2, -1)


@dataclass(frozen=True)
class Triangle(Rearrangement):
    """The lower or upper triangle of the last two axes, with zeros elsewhere.

    Parameters
    ----------
    upper : the upper one, not the lower.
    offset : of the diagonal that still belongs to it.
    """

    upper: bool = False
    offset: int = 0

    def __post_init__(self) -> None:
        true_or_false(self, "upper")
        whole(self, "offset")

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes[0]) < 2:
            raise ValueError(f"{self!r} takes a value of two axes or more, received {shapes[0]}")
        return shapes[0]

    def move(self, a: NDArray, fill: float) -> NDArray:
        kept = np.tri(a.shape[-2], a.shape[-1], self.offset - self.upper, dtype=bool) ^ self.upper
        return np.where(kept, a, np.asarray(fill, a.dtype))


#: What NumPy calls PyTorch's modes of padding.
MODES: Mapping[str, str] = MappingProxyType(
    {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
)


@dataclass(frozen=True)
class Pad(Rearrangement):
    """A value with more elements around it.

    Parameters
    ----------
    pads : (low, high) for each of the last axes.
    mode : "constant", "reflect", "replicate" or "circular".
    fill : what stands in new places in the mode "constant".

    >>> Pad(((1, 1),), "reflect").move(np.array([1, 2, 3]), 0)
    array([2, 1, 2, 3, 2])
    """

    pads: tuple[tuple[int, int], ...]
    mode: str = "constant"
    fill: float = 0.0

    def __post_init__(self) -> None:
        given = listed(self.pads) or ()
        pairs = tuple(listed(pair) or () for pair in given)
        if not pairs or any(len(p) != 2 or not all(is_whole(n, 0) for n in p) for p in pairs):
            raise refused(self, "pads", self.pads, "(low, high) for each of the last axes")
        object.__setattr__(self, "pads", tuple((int(low), int(high)) for low, high in pairs))
        one_of(self, "mode", tuple(MODES))
        finite(self, "fill")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.pads)
        least = {"constant": -1, "reflect": 1, "replicate": 0, "circular": 0}[self.mode]
        limit = [size - (self.mode == "reflect") for size in shape[len(shape) - n :]]
        wide = self.mode in ("reflect", "circular")
        if len(shape) < n or any(
            size <= least or (wide and max(pad) > most)
            for size, most, pad in zip(shape[len(shape) - n :], limit, self.pads, strict=True)
        ):
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        pads = [(0, 0)] * (a.ndim - len(self.pads)) + list(self.pads)
        if self.mode == "constant":
            return np.pad(a, pads, constant_values=fill)
        return np.pad(a, pads, mode=MODES[self.mode])  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class PixelShuffle(Rearrangement):
    """(N, C r^2, H, W) to (N, C, H r, W r) (Shi et al. 2016).

    Parameters
    ----------
    r : by how much the image grows.

    >>> PixelShuffle(2).output_shape((5, 8, 3, 4))
    (5, 2, 6, 8)
    """

    r: int

    def __post_init__(self) -> None:
        whole(self, "r", least=1)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if len(shape) != 4 or shape[1] % self.r**2:
            raise ValueError(
                f"{self!r} takes (N, C, H, W) with C a multiple of {self.r**2}, received {shape}"
            )
        return super().output_shape(*shapes)

    def move(self, a: NDArray, fill: float) -> NDArray:
        N, C, H, W = a.shape
        r = self.r
        parts = a.reshape(N, C // r**2, r, r, H, W).transpose(0, 1, 4, 2, 5, 3)
        return parts.reshape(N, C // r**2, H * r, W * r)


@dataclass(frozen=True)
class Split(Op):
    """The parts of an axis as several outputs, part0, part1, ...;  dy = their dz side by side.

    Parameters
    ----------
    sizes : of the parts.
    axis : the axis, the last by default.

    >>> Split((2, 4)).output_shape((5, 6))
    ((5, 2), (5, 4))
    """

    sizes: tuple[int, ...]
    axis: int = -1

    def __post_init__(self) -> None:
        wholes(self, "sizes", 1)
        whole(self, "axis")
        if len(self.sizes) < 2:
            raise refused(self, "sizes", self.sizes, "two sizes or more")

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"part{i}" for i in range(len(self.sizes)))

    def output_shape(self, *shapes: Shape) -> tuple[Shape, ...]:
        shape = shapes[0]
        (at,) = axes_in(self, self.axis, shape)
        if shape[at] != sum(self.sizes):
            raise ValueError(
                f"{self!r} takes {sum(self.sizes)} elements along axis {self.axis}, received shape "
                f"{shape}"
            )
        return tuple((*shape[:at], size, *shape[at + 1 :]) for size in self.sizes)

    def forward(self, *y: Array) -> tuple[Array, ...]:
        return tuple(split(y[0], self.sizes, self.axis))

    def vjp(self, dz: tuple[Array, ...], y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (np.concatenate(dz, axis=self.axis),)


@dataclass(frozen=True)
class Stack(Op):
    """z = (y1, y2, ...) along a new axis;  dy = the slice of dz that is its own.

    Parameters
    ----------
    axis : the new one, as an axis of z; 1 by default.

    >>> Stack().output_shape((5, 3), (5, 3))
    (5, 2, 3)
    """

    axis: int = 1
    n_inputs: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(set(shapes)) > 1:
            raise ValueError(f"{self.name} takes values of one shape, received {shapes}")
        shape = shapes[0]
        (at,) = axes_in(self, self.axis, (*shape, 1))
        return (*shape[:at], len(shapes), *shape[at:])

    def forward(self, *y: Array) -> Array:
        return np.stack(y, axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return tuple(
            moved(dz, lambda a, _, k=k: np.take(a, k, axis=self.axis)) for k in range(len(y))
        )
