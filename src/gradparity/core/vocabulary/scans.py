"""Running sums, products and maxima along an axis, and sorting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, largest, moved, moved_back
from ..formulas.arguments import axes_in, one_of, true_or_false, whole
from ..formulas.choices import Ties
from ..formulas.maxima import first_of
from ..formulas.op import Op, Shape

__all__ = ["CumulativeMax", "CumulativeProduct", "CumulativeSum", "Sort"]


@dataclass(frozen=True)
class Scan(Op):
    """An op along one axis, which is the last one in its formulas."""

    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        axes_in(self, self.axis, shapes[0])
        return shapes[0]

    def _last(self, a: Array) -> Array:
        """The axis exchanged with the last one; its own inverse."""
        return np.swapaxes(a, self.axis, -1)


def _upper(n: int, dtype: Any) -> NDArray:
    """Ones on and above the diagonal."""
    ones: NDArray = np.tri(n, dtype=bool).T
    return np.asarray(ones, dtype)


@dataclass(frozen=True)
class CumulativeSum(Scan):
    """z_k = sum over i <= k of y_i;  dy_i = sum over k >= i of dz_k.

    Parameters
    ----------
    axis : the axis, the last by default.

    >>> CumulativeSum().forward(np.array([[1.0, 2.0, 4.0]]))
    array([[1., 3., 7.]])
    """

    def forward(self, *y: Array) -> Array:
        a = self._last(y[0])
        return self._last(a @ _upper(a.shape[-1], a.dtype))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        d = self._last(dz)
        return (self._last(d @ _upper(d.shape[-1], d.dtype).T),)


@dataclass(frozen=True)
class CumulativeProduct(Scan):
    """z_k = product over i <= k of y_i;  dy_i = sum over k >= i of dz_k times the others' product.

    Written without a division, so that it is right with zeros too.

    Parameters
    ----------
    axis : the axis, the last by default.

    >>> CumulativeProduct().forward(np.array([[1.0, 2.0, 4.0]]))
    array([[1., 2., 8.]])
    """

    def forward(self, *y: Array) -> Array:
        a = self._last(y[0])
        return self._last(np.concatenate(_running(a), axis=-1))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, d = self._last(y[0]), self._last(dz)
        n = a.shape[-1]
        # Backwards: what arrives at the running product up to i, from i on.
        arriving = [d[..., n - 1 :]]
        for i in range(n - 2, -1, -1):
            arriving.insert(0, d[..., i : i + 1] + a[..., i + 1 : i + 2] * arriving[0])
        before = [np.ones_like(a[..., :1]), *_running(a)[:-1]]
        parts = [b * g for b, g in zip(before, arriving, strict=True)]
        return (self._last(np.concatenate(parts, axis=-1)),)


def _running(a: Array) -> list[Array]:
    """The running products along the last axis, which is kept."""
    found = [a[..., :1]]
    for i in range(1, a.shape[-1]):
        found.append(found[-1] * a[..., i : i + 1])
    return found


@dataclass(frozen=True)
class CumulativeMax(Scan):
    """z_k = max over i <= k of y_i;  dz_k goes to the largest.

    At a tie any weights >= 0 that sum to one are valid.

    Parameters
    ----------
    axis : the axis, the last by default.
    ties : which element this op takes at a tie: "first" or "last".
    """

    ties: str = field(default="last", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "ties", ("first", "last"))

    def _seen(self, a: Array) -> Array:
        """(..., k, i): what of the axis z_k is the maximum of, and -inf elsewhere."""
        return np.where(np.tri(a.shape[-1], dtype=bool), np.expand_dims(a, -2), -np.inf)

    def forward(self, *y: Array) -> Array:
        a = self._last(y[0])
        return self._last(largest(self._seen(a), -1)[..., 0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        wins = first_of(self._wins(self._last(y[0])), self.ties)
        share = np.where(wins, np.expand_dims(self._last(dz), -1), 0)
        return (self._last(share.sum(axis=-2)),)

    def _wins(self, a: Array) -> NDArray:
        seen = self._seen(a)
        wins: NDArray = (seen == largest(seen, -1)) & np.tri(a.shape[-1], dtype=bool)
        return wins

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        wins = self._wins(np.where(np.abs(y[0]) < tiny, 0.0, y[0]).swapaxes(self.axis, -1))
        return self._slots(y[0].shape, wins & (wins.sum(axis=-1, keepdims=True) > 1))

    def routes(self, *shapes: Shape) -> Ties | None:
        n = shapes[0][self.axis]
        lines = np.zeros(shapes[0]).swapaxes(self.axis, -1).shape[:-1]
        return self._slots(shapes[0], np.broadcast_to(np.tri(n, dtype=bool), (*lines, n, n)))

    def _slots(self, shape: Shape, chosen: NDArray) -> Ties | None:
        number = np.arange(int(np.prod(shape))).reshape(shape).swapaxes(self.axis, -1)
        group = np.broadcast_to(np.expand_dims(number, -1), chosen.shape)
        element = np.broadcast_to(np.expand_dims(number, -2), chosen.shape)
        return Ties.of(group[chosen], element[chosen])


@dataclass(frozen=True)
class Sort(Scan):
    """The elements of an axis in rising or falling order, or the first k;  dy = dz back in place.

    Equal elements may be exchanged: any weights >= 0 that sum to one for each place are valid.

    Parameters
    ----------
    axis : the axis, the last by default.
    descending : the largest first.
    k : how many of them, all by default: the top k.

    >>> Sort(descending=True, k=2).forward(np.array([[1.0, 4.0, 2.0]]))
    array([[4., 2.]])
    """

    descending: bool = False
    k: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        true_or_false(self, "descending")
        if self.k is not None:
            whole(self, "k", least=1)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, (at,) = shapes[0], axes_in(self, self.axis, shapes[0])
        if self.k is not None and self.k > shape[at]:
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return (*shape[:at], self.k or shape[at], *shape[at + 1 :])

    def _order(self, y: Array) -> NDArray:
        """Indices along the axis; equal elements keep their order."""
        order: NDArray = np.argsort(-y if self.descending else y, axis=self.axis, kind="stable")
        return np.take(order, np.arange(self.k or y.shape[self.axis]), axis=self.axis)

    def forward(self, *y: Array) -> Array:
        order = self._order(y[0])
        return moved(y[0], lambda a, _: np.take_along_axis(a, order, self.axis))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        order, shape = self._order(y[0]), y[0].shape

        def back(a: NDArray) -> NDArray:
            out = np.zeros(shape, a.dtype)
            np.put_along_axis(out, order, a, self.axis)
            return out

        return (moved_back(dz, back),)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        a = np.where(np.abs(y[0]) < tiny, 0.0, y[0])
        return self._ties(a, lambda same: same & (same.sum(axis=-1, keepdims=True) > 1))

    def routes(self, *shapes: Shape) -> Ties | None:
        return self._ties(np.zeros(shapes[0]), lambda same: same)

    def _ties(self, a: NDArray, chosen: Callable[[NDArray], NDArray]) -> Ties | None:
        """Places and the elements that are equal to what stands there."""
        z = self.forward(a)
        line, place = (self._last(each) for each in (a, z))
        same = chosen(place[..., :, np.newaxis] == line[..., np.newaxis, :])
        places, elements = (self._last(np.arange(each.size).reshape(each.shape)) for each in (z, a))
        group = np.broadcast_to(places[..., :, np.newaxis], same.shape)
        element = np.broadcast_to(elements[..., np.newaxis, :], same.shape)
        return Ties.of(group[same], element[same])
