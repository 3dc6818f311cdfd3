"""The terms of a sum: their magnitudes, partial sums and repetitions, which decide its rounding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .arrays import Array, NDArray
from .carried import Axis, axes_of, one_axis

__all__ = ["FEW", "Terms", "in_runs"]

#: Below this many terms the worst case is the sharper one.
FEW = 16

#: Whole numbers below this fit into 32 bits.
LARGEST_INT = 2**31

#: Runs of consecutive terms whose partial sums are looked at in a matrix product.
RUNS = 8


class Terms(NamedTuple):
    """The terms t of sums, one sum per element; all are functions, because few are ever needed.

    Parameters
    ----------
    magnitude, squares : sum |t| and sum t^2.
    spread : how far the partial sums range when the terms come in their own order, so that an
        order which builds a large partial sum and takes it down again (all positive terms first)
        is not mistaken for a random one.
    repeats : how many terms may be equal: added one by one they are rounded alike, each by up to
        half a unit of the partial sum; 0 for less than `FEW`.
    """

    magnitude: Callable[[], Array]
    squares: Callable[[], Array]
    spread: Callable[[], Array]
    repeats: Callable[[], Array]

    @classmethod
    def of_sum(cls, x: NDArray, axis: Axis, keepdims: bool, u: float) -> Terms:
        """The terms of ``x.sum(axis, keepdims)``, whose partial sums have the unit roundoff u."""

        def total(a: NDArray) -> Array:
            return np.sum(a, axis=axis, keepdims=keepdims)

        def of_one_axis(f: Callable[[NDArray], Array]) -> Array:
            return np.reshape(f(one_axis(x, axes_of(axis, x.ndim))), np.shape(total(x)))

        return cls(
            magnitude=lambda: total(np.abs(x)),
            squares=lambda: total(x * x),
            spread=lambda: of_one_axis(lambda a: _range(np.cumsum(a, axis=0))),
            repeats=lambda: of_one_axis(lambda a: _repeats(a, 0, u)),
        )

    @classmethod
    def of_product(cls, a: NDArray, b: NDArray, u: float) -> Terms:
        """The terms of ``a @ b``, products of an element of each."""
        return cls(
            magnitude=lambda: np.abs(a) @ np.abs(b),
            squares=lambda: (a * a) @ (b * b),
            spread=lambda: in_runs(a, b)[1],
            repeats=lambda: _repeats_of_product(a, b, u),
        )


def _repeats(x: NDArray, axis: int, u: float) -> Array:
    """How often the most frequent value other than zero occurs along the axis, which is kept.

    Values that differ by less than the sum of them all resolves, n u of the largest, count as one;
    less than `FEW` equal ones count as none.
    """
    x = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    n = x.shape[-1]
    if n < FEW:
        return np.expand_dims(np.zeros(x.shape[:-1]), axis)
    grain = n * u * np.abs(x).max(axis=-1, keepdims=True)
    steps = np.rint(x / np.where(grain > 0, grain, 1))
    if 1 / (n * u) < LARGEST_INT:
        steps = np.nan_to_num(steps).astype(np.int32)  # sorted many times as fast
    steps.sort(axis=-1)
    again = (steps[..., FEW - 1 :] == steps[..., : n - FEW + 1]) & (steps[..., FEW - 1 :] != 0)
    most = np.zeros(x.shape[:-1])
    met = again.any(axis=-1)
    if met.any():
        most[met] = _longest_run(steps[met])
    return np.expand_dims(most, axis)


def _longest_run(ordered: NDArray) -> NDArray:
    """The length of the longest run of equal numbers other than zero, in each row."""
    at = np.arange(ordered.shape[-1])
    starts = np.ones(ordered.shape, bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    run = at - np.maximum.accumulate(np.where(starts, at, 0), axis=-1) + 1
    longest: NDArray = np.where(ordered == 0, 0, run).max(axis=-1)
    return longest


def _repeats_of_product(a: NDArray, b: NDArray, u: float) -> Array:
    """How often the terms of A @ B repeat, which they do where both factors do."""
    both = [(a, -1), (b, -2)]
    both.sort(key=lambda factor: factor[0].size)
    first = _repeats(*both[0], u)
    if not first.any():
        return np.zeros(())
    return np.minimum(first, _repeats(*both[1], u))


def in_runs(a: Array, b: Array) -> tuple[Array, Array]:
    """A @ B added up over the first 1/8, 2/8, ... of the inner index; and how far that ranges.

    The range is the largest sum of consecutive terms seen in the partial sums, of which the empty
    sum is one.
    """
    cuts = np.linspace(0, a.shape[-1], RUNS + 1).astype(int)
    running, low, high = (np.zeros(()) for _ in range(3))
    for lo, hi in pairwise(cuts):
        running = running + a[..., lo:hi] @ b[..., lo:hi, :]
        low, high = np.minimum(low, running), np.maximum(high, running)
    return running, high - low


def _range(partial: Array) -> Array:
    """Range of the partial sums along the first axis; the empty sum counts."""
    return np.maximum(partial.max(axis=0), 0.0) - np.minimum(partial.min(axis=0), 0.0)
