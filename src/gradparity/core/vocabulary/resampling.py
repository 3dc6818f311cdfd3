"""Resizing of images and sequences: by copies, and by interpolation with constant weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, like, moved_back, scatter_add, usual
from ..formulas.arguments import is_whole, one_of, refused, true_or_false, whole_numbers
from ..formulas.op import Op, Shape

__all__ = ["Resize"]

#: How many axes a mode takes at most.
AXES = {"nearest": 3, "nearest-exact": 3, "linear": 3, "cubic": 2}
#: The elements that an interpolation may take, relative to the one below its position: one more
#: on both sides than it needs, for the position may be rounded across an element.
TAPS = {"linear": (-1, 3), "cubic": (-2, 4)}
#: Slope of the cubic kernel at a distance of 1, as in PyTorch.
CUBIC = -0.75


@dataclass(frozen=True)
class Resize(Op):
    """(..., *spatial) to (..., *size): z_i = sum_j w(|x_i - j|) y_j along each axis.

    Element i of m stands at x_i = (i + 1/2) n / m - 1/2 among n, or at i (n - 1) / (m - 1) with
    aligned corners; beyond the ends y is continued by its last element.  dy_j = sum_i of
    w(|x_i - j|) dz_i.

    Implementations compute x_i in the dtype of y, and so does this formula: a weight is known to a
    few roundings of a position.

    Parameters
    ----------
    size : of the result, along the last one to three axes; (m,) resizes the last alone.
    mode : "nearest" takes the element floor(i n / m), as PyTorch's mode of this name, and
        "nearest-exact" floor((i + 1/2) n / m), as PyTorch's mode of this name and JAX; "linear"
        has w(t) = max(1 - t, 0), and "cubic" Keys's kernel with a = -3/4 (Keys 1981), on one or
        two axes, without smoothing where the result is smaller.
    align_corners : whether the first and the last elements keep their places; for "linear" and
        "cubic".

    >>> Resize((4,), "linear").forward(np.array([[[0.0, 4.0]]]))
    array([[[0., 1., 3., 4.]]])
    """

    size: tuple[int, ...]
    mode: str = "nearest"
    align_corners: bool = False
    ops_inside: ClassVar[int] = 2  # the weights, and the sums

    def __post_init__(self) -> None:
        one_of(self, "mode", tuple(AXES))
        size, most = (
            whole_numbers((self.size,) if is_whole(self.size) else self.size, 1),
            AXES[self.mode],
        )
        if not size or len(size) > most:
            raise refused(self, "size", self.size, f"one to {most} whole numbers >= 1")
        object.__setattr__(self, "size", size)
        true_or_false(self, "align_corners")
        if self.align_corners and self.mode not in TAPS:
            raise refused(self, "align_corners", True, "False, or mode='linear' or 'cubic'")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.size)
        if len(shape) < n or 0 in shape[len(shape) - n :]:
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return (*shape[: len(shape) - n], *self.size)

    def _axes(self, y: Array) -> list[tuple[int, NDArray, Array | None]]:
        """Per axis: the axis, the elements (m, taps) that are taken, and their weights."""
        first = y.ndim - len(self.size)
        axes = range(len(self.size))
        return [(first + k, *self._taken(y, y.shape[first + k], k)) for k in axes]

    def _taken(self, y: Array, n: int, axis: int) -> tuple[NDArray, Array | None]:
        if self.mode not in TAPS:
            return np.expand_dims(self.nearest(n, axis), 1), None
        below, x = self.positions(y, n, axis)
        j = np.add.outer(below, np.arange(*TAPS[self.mode]))
        distance = abs(x - like(j.astype(np.float64), y))
        w = np.maximum(1 - distance, 0) if self.mode == "linear" else keys(distance, CUBIC)
        return np.clip(j, 0, n - 1), w

    def nearest(self, n: int, axis: int) -> NDArray:
        """The element among n that each element along an axis of the result takes."""
        m = self.size[axis]
        i = np.arange(m)
        return i * n // m if self.mode == "nearest" else (2 * i + 1) * n // (2 * m)

    def positions(self, y: Array, n: int, axis: int) -> tuple[NDArray, Array]:
        """The positions x among n, of shape (m, 1), and the elements below."""
        m = self.size[axis]
        i = np.arange(m)
        # The element below x is found in whole numbers, x itself as implementations find it.
        if self.align_corners:
            at, top, bottom, shift = i + 0.0, n - 1, max(m - 1, 1), 0.0
            below = i * (n - 1) // bottom
        else:
            at, top, bottom, shift = i + 0.5, n, m, 0.5
            below = ((2 * i + 1) * n - m) // (2 * m)
        x = like(np.expand_dims(at, 1), y) * top / bottom
        return below, x - shift if shift else x

    def forward(self, *y: Array) -> Array:
        z = y[0]
        for axis, taken, w in self._axes(z):
            z = np.take(np.moveaxis(z, axis, -1), taken, axis=-1)
            z = z.reshape(*z.shape[:-1]) if w is None else (z * w).sum(axis=-1)
            z = np.moveaxis(z, -1, axis)
        return z

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        axes = self._axes(y[0])
        for axis, taken, w in axes:
            if w is not None:
                shares = np.expand_dims(np.moveaxis(dz, axis, -1), -1) * w
                shares = shares.reshape(*shares.shape[:-2], taken.size)
                dz = np.moveaxis(shares, -1, axis)
        # One sum over all axes, whose terms may be added in any order.
        return (moved_back(dz, partial(_scattered, axes=axes, shape=y[0].shape)),)


def _scattered(a: NDArray, axes: Sequence[Any], shape: Shape) -> NDArray:
    """Every element back to the one that it was taken from."""
    for axis, taken, _ in axes:
        last = np.moveaxis(a, axis, -1)
        added = scatter_add(last, indices=tuple(taken.ravel()), width=shape[axis])
        a = np.moveaxis(added, -1, axis)
    return a


def keys(t: Array, a: float) -> Array:
    """Keys's kernel of slope a at distances t >= 0, in factors that are 0 where it is."""
    near = (1 - t) * (1 + t - (2 + a) * (t * t))
    rest = np.maximum(2 - t, 0)
    best = np.where(t < 1, near, a * ((t - 1) * (rest * rest)))
    return usual(best, {"powers of the distance": lambda: _by_powers(best, t)})


def _by_powers(best: Array, t: Array) -> Array:
    """The same with what Horner's rule loses: its roundings are below 4 u for t < 1, else 30 u.

    Written out it would count the error of a position many times: its slopes cancel too.
    """
    largest = np.where(t < 1, 2.0, 16.0)  # an addition is charged 2 u of its result
    # A distance of 2 may be rounded to less; what is clearly further away is not taken.
    return np.where(t < 2.01, (best + largest) - largest, 0)
