"""The softmax family in best and usual forms: softmax, log-softmax, cross-entropy on logits.

The best forms keep the digits of confident samples.  With m the largest logit and c its index,

    log sum_j e^{z_j} = m + log1p(sum_{j != c} e^{z_j - m}),

so the loss of a sample that is almost surely right is not the difference of two numbers near m,
and 1 - y_c is the sum of the other probabilities.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arithmetic.arrays import Array, NDArray, absorb, largest, usual

__all__ = [
    "Exponentials",
    "log_softmax",
    "log_softmax_vjp",
    "softmax",
    "softmax_vjp",
]


def _winner(x: Array, largest: Array, axis: int) -> NDArray:
    """True at one largest element along the axis: the first."""
    wins = np.asarray(x == largest, dtype=bool)
    if np.count_nonzero(wins) * wins.shape[axis] > wins.size:
        wins &= np.cumsum(wins, axis=axis) == 1
    return wins


def _without(first: NDArray, x: Array, axis: int) -> Array:
    """The sum of x along the axis, without the element at `first`."""
    if x.shape[axis] == 1:
        return 0 * x
    return np.where(first, 0, x).sum(axis=axis, keepdims=True)


class Exponentials(NamedTuple):
    """The exponentials e^{z - m} of logits, m the largest of them, and what sums are made of them.

    Attributes
    ----------
    z, m : the logits and their largest.
    first : True at the first of the largest.
    e : e^{z - m}.
    rest : the sum of e without the first of the largest.
    axis : of the sums.
    """

    z: Array
    m: Array
    first: NDArray
    e: Array
    rest: Array
    axis: int

    @classmethod
    def of(cls, z: Array, axis: int = -1) -> Exponentials:
        """The exponentials of these logits along an axis."""
        m = largest(z, axis)
        first, e = _winner(z, m, axis), np.exp(z - m)
        return cls(z, m, first, e, _without(first, e, axis), axis)

    @property
    def total(self) -> Array:
        """The sum of e, in which that of the largest is 1."""
        return 1 + self.rest

    def log_softmax(self) -> Array:
        """z - log sum e^z."""
        z, m = self.z, self.m
        return usual(
            (z - m) - np.log1p(self.rest),
            {
                "(z - m) - log sum e^(z - m)": lambda: (z - m) - np.log(self.total),
                "z - (m + log sum e^(z - m))": lambda: z - absorb(m, np.log(self.total)),
            },
        )

    def log_sum(self) -> Array:
        """log sum e^z."""
        return absorb(self.m, np.log1p(self.rest))

    def loss_gradient(self, t: Array) -> Array:
        """The gradient of -sum_i t_i log y_i for y = softmax(z): y_i sum_j t_j - t_i.

        Only the largest y can be near 1.  There it is y_i sum_{j != i} t_j - t_i sum_{j != i} y_j.
        """
        total = self.total
        y, sum_t = self.e / total, t.sum(axis=self.axis, keepdims=True)
        plain = y * sum_t - t
        at_first = y * _without(self.first, t, self.axis) - t * (self.rest / total)
        return usual(
            np.where(self.first, at_first, plain),
            {
                "y sum t - t": lambda: plain,
                "e^(log y) sum t - t": lambda: (
                    np.minimum(np.exp(self.log_softmax()), 1) * sum_t - t
                ),
            },
        )


def softmax(z: Array, axis: int) -> Array:
    """e^z / sum e^z along an axis."""
    m = largest(z, axis)
    e = np.exp(z - m)
    total = e.sum(axis=axis, keepdims=True)
    forms = {
        "e^z / sum e^z": lambda: np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True),
        "e^(z - (m + log sum e^(z - m)))": lambda: np.exp(z - absorb(m, np.log(total))),
    }
    return usual(e / total, forms)


def softmax_vjp(dy: Array, y: Array, axis: int) -> Array:
    """y (dy - sum dy y), with dy relative to that of the largest y, where the bracket cancels."""
    first = _winner(y, largest(y, axis), axis)
    at_first = largest(np.where(first, dy, -np.inf), axis)
    g = np.where(first, 0, dy - at_first)
    return usual(
        y * (g - (g * y).sum(axis=axis, keepdims=True)),
        {"y (dy - sum dy y)": lambda: y * (dy - (dy * y).sum(axis=axis, keepdims=True))},
    )


def log_softmax(z: Array, axis: int = -1) -> Array:
    """z - log sum e^z along an axis."""
    return Exponentials.of(z, axis).log_softmax()


def log_softmax_vjp(dy: Array, y: Array, axis: int) -> Array:
    """dy - e^y sum dy; for the largest y as dy_i (1 - e^{y_i}) - e^{y_i} sum_{j != i} dy_j."""
    first = _winner(y, largest(y, axis), axis)
    e = np.minimum(np.exp(y), 1)
    plain = dy - e * dy.sum(axis=axis, keepdims=True)
    at_first = dy * -np.minimum(np.expm1(y), 0) - e * _without(first, dy, axis)
    return usual(np.where(first, at_first, plain), {"dy - e^y sum dy": lambda: plain})
