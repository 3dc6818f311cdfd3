"""Running sums of exponentials along an axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array, largest, log_add, split, usual
from ..vocabulary.scans import Scan

__all__ = ["CumulativeLogSumExp"]


@dataclass(frozen=True)
class CumulativeLogSumExp(Scan):
    """z_k = log sum over i <= k of e^{y_i};  dy_i = sum over k >= i of dz_k e^{y_i - z_k}.

    An element of -inf adds nothing, and its gradient is 0.

    Parameters
    ----------
    axis : the axis, the last by default.

    >>> CumulativeLogSumExp().forward(np.log([[1.0, 3.0, 4.0]])).round(6).tolist()
    [[0.0, 1.386294, 2.079442]]
    """

    def _sums(self, a: Array) -> tuple[Array, Array, Array]:
        """(..., k, i): the largest of each sum, e^(y - it), and the sum of these."""
        seen = np.where(np.tri(a.shape[-1], dtype=bool), np.expand_dims(a, -2), -np.inf)
        m = largest(seen, -1)
        m = np.where(m == -np.inf, 0, m)
        e = np.exp(seen - m)
        return m, e, e.sum(axis=-1, keepdims=True)

    def forward(self, *y: Array) -> Array:
        a = self._last(y[0])
        m, _, total = self._sums(a)
        empty = total == 0
        best = np.where(empty, -np.inf, m + np.log(np.where(empty, 1, total)))[..., 0]
        form = {"log(e^z + e^y), element by element": lambda: _joined(_running(a))}
        return self._last(usual(best, form))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, d = self._last(y[0]), self._last(dz)
        _, e, total = self._sums(a)
        best = (e / np.where(total == 0, 1, total) * np.expand_dims(d, -1)).sum(axis=-2)
        forms = {
            "e^(y + log sum dz e^-z), over dz of each sign": lambda: _through_logs(
                d, a, self._last(self.forward(*y))
            )
        }
        return (self._last(usual(best, forms)),)


def _running(a: Array) -> Iterator[Array]:
    """The running sums, each from the one before."""
    first, *rest = split(a, [1] * a.shape[-1], -1)
    yield first
    for each in rest:
        first = log_add(first, each)
        yield first


def _joined(parts: Iterator[Array]) -> Array:
    return np.concatenate(list(parts), axis=-1)


def _through_logs(d: Array, a: Array, z: Array) -> Array:
    """e^(y_i + log sum over k >= i of e^(log dz_k - z_k)), for dz > 0 less that for -dz > 0."""

    def half(d: Array) -> Array:
        there = d > 0
        logs = np.where(there, np.log(np.where(there, d, 1)) - z, -np.inf)
        sums = _joined(_running(np.flip(logs, axis=-1)))
        return np.exp(a + np.flip(sums, axis=-1))

    return half(d) - half(-d)
