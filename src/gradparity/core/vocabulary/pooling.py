"""Averages and norms of windows, and windows that divide a value into a given number of bins."""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, usual
from ..formulas.arguments import is_whole, one_of, refused, true_or_false, whole, whole_numbers
from ..formulas.choices import Ball
from ..formulas.op import Movement, Op, Shape
from ..formulas.windows import LargestOfWindows, Windows, window_arguments
from .rearranging import Rearrangement

__all__ = ["AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "LpPool"]


class _MeanOfWindows(Op):
    """z = the sum of each window / n;  dy = the sum of dz / n over the windows of an element."""

    @property
    def windows(self) -> Movement:
        """(N, C, *spatial) to (N, C, *windows, *kernel), with 0 where there is padding."""
        raise NotImplementedError

    def _divisor(self, shape: Shape) -> NDArray:
        """The n of every window."""
        return _sizes(self.windows, shape)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape: Shape = self.windows.output_shape(shapes[0])
        if not self._divisor(shapes[0]).all():
            raise ValueError(
                f"{self.name}: on a value of shape {shapes[0]} a window holds padding alone; give "
                "less padding"
            )
        return shape[: 1 + len(shape) // 2]

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        return self.windows.unexercised(y)

    def forward(self, *y: Array) -> Array:
        w = self.windows.forward(y[0])
        total = w.sum(axis=_within(w))
        return total / self._divisor(y[0].shape).astype(total.dtype)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        share = dz / self._divisor(y[0].shape).astype(dz.dtype)
        shape = self.windows.output_shape(y[0].shape)
        share = share.reshape(*share.shape, *[1] * (len(shape) - share.ndim))
        return self.windows.vjp(np.broadcast_to(share, shape), y, None)


def _within(w: Array) -> tuple[int, ...]:
    """The axes of an array of windows that run inside of a window."""
    return tuple(range(1 + w.ndim // 2, w.ndim))


def _sizes(windows: Movement, shape: Shape) -> NDArray:
    """The number of elements of every window that are not padding."""
    w = windows.move(np.ones((1, 1, *shape[2:]), int), 0)
    found: NDArray = w.sum(axis=_within(w))
    return found


@dataclass(frozen=True)
class AvgPool(_MeanOfWindows):
    """z = the mean of each window;  dy = the sum of dz / n over the windows of an element.

    Parameters
    ----------
    kernel, stride, padding : as in `Windows`; padding is 0.
    count_include_pad : whether n counts padding too, so that it is the size of the kernel.
    divisor : a whole number >= 1 that is n in every window; None for the number of elements.

    >>> AvgPool((2, 2), stride=2).output_shape((5, 3, 4, 6))
    (5, 3, 2, 3)
    """

    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    count_include_pad: bool = True
    divisor: int | None = None

    def __post_init__(self) -> None:
        window_arguments(self)
        true_or_false(self, "count_include_pad")
        if self.divisor is not None:
            whole(self, "divisor", least=1)

    @property
    def windows(self) -> Windows:
        return Windows(self.kernel, self.stride, self.padding)

    def _divisor(self, shape: Shape) -> NDArray:
        if self.divisor is not None:
            return np.asarray(self.divisor)
        if self.count_include_pad:
            return np.asarray(math.prod(self.kernel))
        return super()._divisor(shape)


@dataclass(frozen=True)
class Bins(Rearrangement):
    """(N, C, *spatial) to (N, C, *size, *longest): every axis of n elements in `size` bins.

    Bin i of m is [floor(i n / m), ceil((i + 1) n / m)); bins may overlap, and `fill` stands where
    one is shorter than the longest.

    Parameters
    ----------
    size : the number of bins, one for each of the last one to three axes.
    fill : a number, such as 0.0 or -math.inf.

    >>> Bins((2,)).move(np.arange(3).reshape(1, 1, 3), -1).tolist()
    [[[[0, 1], [1, 2]]]]
    """

    size: tuple[int, ...]
    fill: float = 0.0

    def __post_init__(self) -> None:
        _bins(self)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.size)
        if len(shape) != n + 2 or 0 in shape[1:]:
            raise ValueError(
                f"bins of {n} axes take a value (N, C, *{n} axes), received shape {shape}"
            )
        return super().output_shape(shape)

    def move(self, a: NDArray, fill: float) -> NDArray:
        n = len(self.size)
        a = np.pad(a, [(0, 0), (0, 0), *[(0, 1)] * n], constant_values=fill)
        for axis, m in enumerate(self.size, 2):
            a = np.moveaxis(np.take(a, _bin_indices(a.shape[axis] - 1, m), axis), axis + 1, -1)
        return a


def _bins(op: Any) -> None:
    """The number of bins per axis, checked and kept as a tuple."""
    size = whole_numbers((op.size,) if is_whole(op.size) else op.size, 1)
    if not size or len(size) > 3:
        raise refused(op, "size", op.size, "one, two or three whole numbers >= 1")
    object.__setattr__(op, "size", size)


def _bin_indices(n: int, m: int) -> NDArray:
    """The indices of every bin, in rows of one length: n stands for none."""
    low = [i * n // m for i in range(m)]
    high = [-(-(i + 1) * n // m) for i in range(m)]
    longest = max(hi - lo for lo, hi in zip(low, high, strict=True))
    at = np.add.outer(low, np.arange(longest))
    return np.where(at < np.expand_dims(high, 1), at, n)


@dataclass(frozen=True)
class AdaptiveAvgPool(_MeanOfWindows):
    """z = the mean of each bin;  dy = the sum of dz / n over the bins of an element.

    Parameters
    ----------
    size : the number of bins, one for each of the last one to three axes; (1, 1) gives the mean
        over an image.

    >>> AdaptiveAvgPool((2, 3)).output_shape((5, 3, 7, 8))
    (5, 3, 2, 3)
    """

    size: tuple[int, ...]

    def __post_init__(self) -> None:
        _bins(self)

    @property
    def windows(self) -> Bins:
        return Bins(self.size)


@dataclass(frozen=True)
class AdaptiveMaxPool(LargestOfWindows):
    """z = the largest element of each bin;  dz goes back to it, and bins add up.

    At a tie any weights >= 0 that sum to one are valid.

    Parameters
    ----------
    size : the number of bins, one for each of the last one to three axes.
    ties : which element this op takes at a tie: "first" or "last".
    """

    size: tuple[int, ...]
    ties: str = field(default="first", kw_only=True)

    def __post_init__(self) -> None:
        _bins(self)
        one_of(self, "ties", ("first", "last"))

    @property
    def windows(self) -> Bins:
        return Bins(self.size, -math.inf)


@dataclass(frozen=True)
class LpPool(Op):
    """z = (sum |y|^p)^(1/p) over each window;  dy = the sum over windows of dz h |h|^(p-2).

    There h = y / z, and for p = 1 it is dz sign(y).  The largest |y| of a window is taken out, so
    that nothing overflows.  PyTorch's `lp_pool` has y^p for |y|^p: another function for odd p.

    In a window of zeros any vector is valid whose norm of order p / (p - 1) is at most |dz|, and
    for p = 1 any number from -|dz| to |dz| wherever y = 0; this op takes 0.  What several such
    windows share may have the gradient of one of them.

    Parameters
    ----------
    p : a whole number >= 1.
    kernel, stride : as in `Windows`; for p = 1 windows must not overlap.

    >>> LpPool(2, (2,), 2).forward(np.array([[[3.0, 4.0, 0.0, -2.0]]]))
    array([[[5., 2.]]])
    """

    p: int
    kernel: tuple[int, ...]
    stride: Any = 1

    def __post_init__(self) -> None:
        whole(self, "p", least=1)
        window_arguments(self)
        if self.p == 1 and any(s < k for s, k in zip(self.stride, self.kernel, strict=True)):
            give = "stride >= kernel for p = 1, or Abs() and AvgPool(divisor=1) after it"
            raise refused(self, "stride", self.stride, give)

    @property
    def windows(self) -> Windows:
        """The windows."""
        return Windows(self.kernel, self.stride)

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.windows.output_shape(shapes[0])[: 2 + len(self.kernel)]

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        return self.windows.unexercised(y)

    def _norm(self, w: Array) -> Array:
        """The norm of every window, with axes of length 1 in place of its own."""
        axes, size = _within(w), abs(w)
        if self.p == 1:
            return size.sum(axis=axes, keepdims=True)
        largest = size.max(axis=axes, keepdims=True)
        powers = _power(size / np.where(largest == 0, 1, largest), self.p)
        total = powers.sum(axis=axes, keepdims=True)
        best = largest * _root(np.where(largest == 0, 1, total), self.p)
        form = {"(sum |y|^p)^(1/p)": lambda: self._unscaled(size, axes)}
        return usual(best, form)

    def _unscaled(self, size: Array, axes: tuple[int, ...]) -> Array:
        total = _power(size, self.p).sum(axis=axes, keepdims=True)
        return np.where(total == 0, 0, _root(np.where(total == 0, 1, total), self.p))

    def forward(self, *y: Array) -> Array:
        w = self.windows.forward(y[0])
        return self._norm(w).reshape(*w.shape[: 2 + len(self.kernel)])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        w = self.windows.forward(y[0])
        dz = dz.reshape(*dz.shape, *[1] * len(self.kernel))
        if self.p == 1:
            return self.windows.vjp(dz * np.sign(w), y, None)
        norm = self._norm(w)
        h = w / np.where(norm == 0, 1, norm)
        slope = h if self.p == 2 else h * _power(abs(h), self.p - 2)
        return self.windows.vjp(dz * slope, y, None)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ball | None:
        w = self.windows.move(y[0], 0.0)
        zero = np.abs(w) < tiny
        at = zero if self.p == 1 else zero & zero.all(axis=_within(w), keepdims=True)
        slots = np.flatnonzero(at)
        source = self.windows.move(np.arange(y[0].size).reshape(y[0].shape), 0).ravel()
        order = math.inf if self.p == 1 else self.p / (self.p - 1)
        return Ball.of(slots // math.prod(self.kernel), source[slots], order=order)


def _power(a: Array, p: int) -> Array:
    """a to a whole power >= 1, as a product."""
    return functools.reduce(operator.mul, [a] * p)


def _root(a: Array, p: int) -> Array:
    """The p-th root of numbers > 0."""
    return np.sqrt(a) if p == 2 else np.exp(np.log(a) / p)
