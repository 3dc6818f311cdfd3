"""Ops that read or write elements of an array at positions; no network is written with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import (
    Array,
    NDArray,
    like,
    moved,
    moved_back,
    stored,
    unbroadcast,
)
from ..formulas.choices import Slopes
from ..formulas.op import Movement, Op, Shape

__all__ = [
    "Dilate",
    "Index",
    "Overwrite",
    "PutAt",
    "Unstack",
    "Within",
]


@dataclass(frozen=True)
class Unstack(Op):
    """The entries of an axis as several outputs;  dy = their dz along that axis.

    Parameters
    ----------
    n : length of the axis.
    axis : the axis, which is dropped.
    """

    n: int
    axis: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The entries: "part0", "part1", ..."""
        return tuple(f"part{i}" for i in range(self.n)) if self.n > 1 else ("",)

    def output_shape(self, *shapes: Shape) -> Any:
        at = self.axis % len(shapes[0])
        part = (*shapes[0][:at], *shapes[0][at + 1 :])
        return (part,) * self.n if self.n > 1 else part

    def forward(self, *y: Array) -> Any:
        parts = [moved(y[0], lambda a, _, i=i: np.take(a, i, self.axis)) for i in range(self.n)]
        return tuple(parts) if self.n > 1 else parts[0]

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array, ...]:
        return (np.stack(dz if self.n > 1 else (dz,), axis=self.axis),)


@dataclass(frozen=True)
class Index(Op):
    """z = y[..., ids, ...] as NumPy's advanced indexing;  dy = dz back where it was taken.

    Parameters
    ----------
    taken : for each leading axis of y whether the next array of integers indexes it; the others are
        kept whole.

    The inputs are the arrays of integers (or booleans), in order, and then y.

    >>> Index((False, True)).forward(np.array([2, 0]), np.array([[1.0, 2.0, 3.0]]))
    array([[3., 1.]])
    """

    taken: tuple[bool, ...]
    integers: ClassVar[bool] = True

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        return sum(self.taken) + 1

    def at(self, ids: tuple[NDArray, ...]) -> Any:
        """The index into y."""
        given = iter(ids)
        return tuple(next(given) if take else slice(None) for take in self.taken)

    def output_shape(self, *shapes: Shape) -> Shape:
        ids = tuple(np.zeros(shape, int) for shape in shapes[:-1])
        whole: Shape = np.broadcast_to(np.float32(0), shapes[-1])[self.at(ids)].shape
        return whole

    def forward(self, *y: Array) -> Array:
        at = self.at(y[:-1])
        return moved(y[-1], lambda a, _: a[at])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        at, shape = self.at(y[:-1]), y[-1].shape

        def back(a: NDArray) -> NDArray:
            out = np.zeros(shape, a.dtype)
            np.add.at(out, at, a)
            return out

        return (*[None] * (len(y) - 1), moved_back(dz, back))


@dataclass(frozen=True)
class PutAt(Op):
    """z = y with x at y[..., ids, ...], or added there;  dx = dz there.

    Put: dy = dz, but 0 there.  Added: dy = dz.

    Parameters
    ----------
    taken : as in `Index`.
    accumulate : add, and not replace.

    The inputs are the arrays of integers (or booleans), in order, and then y and x, which is
    broadcast to what is indexed.
    """

    taken: tuple[bool, ...]
    accumulate: bool = False
    integers: ClassVar[bool] = True

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        return sum(self.taken) + 2

    @property
    def index(self) -> Index:
        """The indexing that this is the inverse of."""
        return Index(self.taken)

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[-2]

    def _met(self, ids: tuple[NDArray, ...], shape: Shape) -> NDArray:
        met = np.zeros(shape, bool)
        met[self.index.at(ids)] = True
        return met

    def forward(self, *y: Array) -> Array:
        *ids, a, x = y
        at = self.index.at(tuple(ids))
        x = np.broadcast_to(x, np.broadcast_to(np.float32(0), a.shape)[at].shape)
        if self.accumulate:
            _, added = self._back(x, tuple(ids), a.shape)
            return a + added
        (last, _), met = self._back(x, tuple(ids), a.shape), self._met(tuple(ids), a.shape)
        return np.where(met, last, a)

    def _back(self, x: Array, ids: tuple[NDArray, ...], shape: Shape) -> tuple[Array, Array]:
        """x in its places: the last one of several, and their sum."""
        at = self.index.at(ids)

        def put(a: NDArray, fill: float) -> NDArray:
            out = np.zeros(shape, a.dtype)
            out[at] = a
            return out

        def add(a: NDArray) -> NDArray:
            out = np.zeros(shape, a.dtype)
            np.add.at(out, at, a)
            return out

        if self.accumulate:
            return x, moved_back(x, add)
        return moved(x, put), x

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        *ids, a, x = y
        dy = dz if self.accumulate else np.where(self._met(tuple(ids), a.shape), 0, dz)
        dx = unbroadcast(self.index.forward(*ids, dz), x.shape)
        return (*[None] * len(ids), dy, dx)


@dataclass(frozen=True)
class Overwrite(Op):
    """z = x in the shape of y, which is overwritten;  dy = 0,  dx = dz.

    The inputs are y and x.
    """

    n_inputs: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def forward(self, *y: Array) -> Array:
        return stored(np.broadcast_to(y[1], y[0].shape))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        zero: Any = np.zeros(y[0].shape)
        return like(zero, dz), stored(unbroadcast(dz, y[1].shape))


class Within(Op):
    """An op that is applied to some elements of its first input, and written there.

    z = y0 with op(y0[index], y1, ...) at the index;  dy0 = dz, but at the index that of the op.

    Parameters
    ----------
    op : the op.
    index : positions in the flattened first input, each once, in the shape that the op takes.
    first : which input of the op it is.
    """

    def __init__(self, op: Op, index: NDArray, first: int = 0) -> None:
        self.op, self.index, self.first = op, index, first
        self.n_inputs = op.n_inputs  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"{self.op!r} written into a part"

    @property
    def hides(self) -> bool:
        return self.op.hides

    def parameter_shapes(self) -> dict[str, Shape]:
        return self.op.parameter_shapes()

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[self.first]

    def inner(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        """The inputs of the op."""
        part = moved(y[self.first], lambda a, _: a.reshape(-1)[self.index])
        return (*y[: self.first], part, *y[self.first + 1 :])

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        """The valid slopes of an elementwise op; None for any other op, see `meets_kinks`."""
        found = self.op.subdifferential(self.inner(y), tiny)
        if not isinstance(found, Slopes) or self.first:
            return None
        zero: NDArray = np.zeros(y[0].shape)
        at, low, high = (self._put(a, zero) for a in (found.at, found.low, found.high))
        return Slopes(at > 0, low, high)

    def meets_kinks(self, y: tuple[NDArray, ...], tiny: float) -> bool:
        """Whether the op is at a kink, so that several gradients may be valid."""
        inner = tuple(np.asarray(a) for a in self.inner(y))
        return self.op.subdifferential(inner, tiny) is not None

    def _put(self, part: Array, whole: Array) -> Array:
        shape, n = whole.shape, int(np.prod(whole.shape))
        met = np.zeros(n, bool)
        met[self.index.ravel()] = True

        def put(a: NDArray, fill: float) -> NDArray:
            out = np.zeros(n, a.dtype)
            out[self.index.ravel()] = np.broadcast_to(a, self.index.shape).ravel()
            return out.reshape(shape)

        return np.where(met.reshape(shape), moved(part, put), whole)

    def forward(self, *y: Array) -> Array:
        return self._put(self.op.forward(*self.inner(y)), y[self.first])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        inner = self.inner(y)
        part = moved(dz, lambda a, _: a.reshape(-1)[self.index])
        found = list(self.op.vjp(part, inner, self.op.forward(*inner)))
        own = found[self.first]
        found[self.first] = self._put(0 * part if own is None else own, dz)
        return tuple(found)


@dataclass(frozen=True)
class Dilate(Movement):
    """The elements of every axis apart, `fill` between them.

    Parameters
    ----------
    steps : for each axis the distance of neighbours afterwards.
    fill : what stands between them.

    >>> Dilate((2,)).move(np.array([1, 2, 3]), 0)
    array([1, 0, 2, 0, 3])
    """

    steps: tuple[int, ...]
    fill: float = 0.0

    def output_shape(self, *shapes: Shape) -> Shape:
        each = zip(shapes[0], self.steps, strict=True)
        return tuple(max((n - 1) * step + 1, 0) for n, step in each)

    @property
    def _places(self) -> Any:
        return tuple(slice(None, None, step) for step in self.steps)

    def move(self, a: NDArray, fill: float) -> NDArray:
        out = np.full(self.output_shape(a.shape), fill, a.dtype)
        out[self._places] = a
        return out

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        taken: NDArray = dz[self._places]
        return taken
