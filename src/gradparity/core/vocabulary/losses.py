"""Losses of numbers: absolute and squared errors, counts, directions.

Each is a divergence, one number per sample; a loss of several outputs is the sum over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, usual
from ..formulas.arguments import between, finite, refused, true_or_false
from ..formulas.choices import Slopes
from ..formulas.divergences import Divergence, OfDifference, not_a_number
from ..formulas.op import Shape
from ..formulas.smooth import tanh

__all__ = [
    "L1",
    "CosineDistance",
    "Huber",
    "LogCosh",
    "PoissonNLL",
    "SmoothL1",
    "SquaredError",
]


def positive_number(op: Any, name: str) -> None:
    """A finite number > 0."""
    finite(op, name)
    if getattr(op, name) <= 0:
        raise refused(op, name, getattr(op, name), "a number > 0")


@dataclass(frozen=True)
class L1(Divergence):
    """Div = sum_i |y_i - d_i|;  dDiv/dy_i = 1 above d_i and -1 below it.

    At y_i = d_i anything in [-1, 1] is valid; this divergence takes 0, as PyTorch and JAX do.

    >>> L1().gradient(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 2.0, 2.0]]))
    array([[-1.,  0.,  1.]])
    """

    def forward(self, y: Array, d: Array) -> Array:
        return abs(y - d).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        one = np.ones_like(y)
        return np.where(y > d, one, np.where(y < d, -one, 0))

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        at = np.abs(y[0] - y[1]) < tiny
        one = np.ones(at.shape)
        return Slopes(at, -one, one) if at.any() else None


@dataclass(frozen=True)
class SquaredError(OfDifference):
    """Div = sum_i (y_i - d_i)^2, without the 1/2 of `L2`;  dDiv/dy_i = 2 (y_i - d_i)."""

    def forward(self, y: Array, d: Array) -> Array:
        r = y - d
        return (r * r).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return 2.0 * (y - d)


def clipped(r: Array, most: float) -> Array:
    """r clipped to [-most, most]."""
    q = np.minimum(abs(r), most)
    form = {"(q - most) + most, q = min(|r|, most)": lambda: np.where(
        r < 0, -((q - most) + most), (q - most) + most
    )}  # fmt: skip
    return usual(np.clip(r, -most, most), form)


@dataclass(frozen=True)
class Huber(OfDifference):
    """Div = sum_i r^2/2 for |r| <= delta, else delta (|r| - delta/2), with r = y_i - d_i.

    dDiv/dy_i = r clipped to [-delta, delta] (Huber 1964).

    Parameters
    ----------
    delta : where the square ends; positive.

    >>> Huber().forward(np.array([[0.5, 3.0]]), np.zeros((1, 2)))
    array([2.625])
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        positive_number(self, "delta")

    def forward(self, y: Array, d: Array) -> Array:
        r, delta = abs(y - d), self.delta
        q = np.minimum(r, delta)
        best = np.where(r <= delta, 0.5 * q * q, delta * (r - 0.5 * delta))
        form = {"q^2/2 + delta (|r| - q), q = min(|r|, delta)": lambda: (
            0.5 * q * q + delta * (r - q)
        )}  # fmt: skip
        return usual(best, form).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return clipped(y - d, self.delta)


@dataclass(frozen=True)
class SmoothL1(OfDifference):
    """Div = sum_i r^2 / (2 beta) for |r| < beta, else |r| - beta/2, with r = y_i - d_i.

    dDiv/dy_i = r / beta clipped to [-1, 1] (Girshick 2015): that of `Huber`, divided by beta.

    Parameters
    ----------
    beta : where the square ends; positive (`L1` has none).
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        positive_number(self, "beta")

    def forward(self, y: Array, d: Array) -> Array:
        r, beta = abs(y - d), self.beta
        q = np.minimum(r, beta)
        best = np.where(r < beta, 0.5 * q * (q / beta), r - 0.5 * beta)
        form = {"(q^2/2 + beta (|r| - q)) / beta, q = min(|r|, beta)": lambda: (
            (0.5 * q * q + beta * (r - q)) / beta
        )}  # fmt: skip
        return usual(best, form).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return clipped(y - d, self.beta) / self.beta


#: log cosh r is |r| - log 2 to all digits far below this.
FAR = 10.0


@dataclass(frozen=True)
class LogCosh(OfDifference):
    """Div = sum_i log cosh(y_i - d_i);  dDiv/dy_i = tanh(y_i - d_i).

    With t = e^|r| - 1, cosh r = 1 + t^2 / (2 (1 + t)), which keeps the digits of a small r.
    """

    def forward(self, y: Array, d: Array) -> Array:
        r = y - d
        a = abs(r)
        t = np.expm1(np.minimum(a, FAR + 0 * d))
        near = np.log1p(0.5 * t * (t / (1 + t)))
        far = a + np.log(0.5 + 0.5 * np.exp(-2.0 * a))
        log_2 = 0.6931471805599453
        forms = {
            "logaddexp(r, -r) - log 2": lambda: np.logaddexp(r, -r) - log_2,
            "log cosh r": lambda: np.log(0.5 * (np.exp(r) + np.exp(-r))),
            "|r| + log1p(e^-2|r|) - log 2": lambda: a + np.log1p(np.exp(-2.0 * a)) - log_2,
        }
        return usual(np.where(a < FAR, near, far), forms).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        r = y - d

        def form() -> Array:
            z = np.logaddexp(r, -r)
            return np.exp(r - z) - np.exp(-r - z)

        return usual(tanh(r), {"e^(r - z) - e^(-r - z), z = logaddexp(r, -r)": form})


@dataclass(frozen=True)
class PoissonNLL(Divergence):
    """Div = sum_i e^{z_i} - d_i z_i, the output being the logarithm of the rate of counts d_i.

    dDiv/dz_i = e^{z_i} - d_i.  On rates: Div = sum_i y_i - d_i log(y_i + eps), dDiv/dy_i =
    1 - d_i / (y_i + eps).  The term log d_i!, which has no gradient, is left out.

    Parameters
    ----------
    log_input : whether the output is the logarithm of the rate.
    eps : keeps the logarithm of a rate of 0 finite; only without `log_input`.
    """

    log_input: bool = True
    eps: float = 1e-8
    labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        true_or_false(self, "log_input")
        between(self, "eps", 0.0)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        not_a_number(self, d)
        not_negative(self, "d", d, "targets are counts")
        return d

    def check_output(self, y: Array) -> None:
        if not self.log_input:
            not_negative(self, "the output y", y, "end in Softplus(), or give log_input=True")

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.poisson(2.0, shape).astype(np.float64)

    def forward(self, y: Array, d: Array) -> Array:
        if self.log_input:
            return (np.exp(y) - d * y).sum(axis=-1)
        return (y - np.where(d == 0, 0, d * np.log(y + self.eps))).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        if self.log_input:
            return np.exp(y) - d
        best = 1 - np.where(d == 0, 0, d / (y + self.eps))
        rate = y + self.eps
        return usual(((y - d) + self.eps) / rate, {"1 - d / (y + eps)": lambda: best})

    def target_gradient(self, y: Array, d: Array) -> Array:
        return -y + 0 * d if self.log_input else -np.log(y + self.eps)


def not_negative(op: Divergence, what: str, x: Array, why: str) -> None:
    """Raises ValueError for a negative number."""
    if (x < 0).any():
        index = tuple(int(i) for i in np.argwhere(x < 0)[0])
        raise ValueError(
            f"{op.name}: {what}[{', '.join(map(str, index))}] = {float(x[index])!r} is negative; "
            f"{why}"
        )


@dataclass(frozen=True)
class CosineDistance(Divergence):
    """Div = 1 - cos(y, d), computed as |u - v|^2 / 2 for the unit vectors u = y/|y|, v = d/|d|.

    dDiv/dy = (cos(y, d) u - v) / |y|.  It has no value for a vector of zeros.

    >>> CosineDistance().forward(np.array([[2.0, 0.0]]), np.array([[0.0, 5.0]]))
    array([1.])
    """

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        _not_zero(self, "d", d)
        return d

    def check_output(self, y: Array) -> None:
        _not_zero(self, "the output y", y)

    def forward(self, y: Array, d: Array) -> Array:
        u, v = y / _length(y), d / _length(d)
        best = 0.5 * ((u - v) * (u - v)).sum(axis=-1)
        forms = {
            "1 - sum u v": lambda: 1 - (u * v).sum(axis=-1),
            "1 - sum y d / (|y| |d|)": lambda: (
                1 - (y * d).sum(axis=-1) / (_length(y) * _length(d))[..., 0]
            ),
        }
        return usual(best, forms)

    def gradient(self, y: Array, d: Array) -> Array:
        u, v = y / _length(y), d / _length(d)
        return ((u * v).sum(axis=-1, keepdims=True) * u - v) / _length(y)

    def target_gradient(self, y: Array, d: Array) -> Array:
        return self.gradient(d, y)


def _length(x: Array) -> Array:
    return np.sqrt((x * x).sum(axis=-1, keepdims=True))


def _not_zero(op: Divergence, what: str, x: Array) -> None:
    zero = (x == 0).all(axis=-1)
    if zero.any():
        row = ", ".join(str(int(i)) for i in np.argwhere(zero)[0])
        raise ValueError(
            f"{op.name}: {what}[{row}] is a vector of zeros, which has no direction; leave it out, "
            "by a weight of 0 for example, or give another vector"
        )
