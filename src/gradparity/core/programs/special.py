"""Special functions that programs call and no layer does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, like, usual
from ..arithmetic.special import erfcx, i0e, i1e_ratio, lgamma, ndtri
from ..formulas.arguments import broadcast, whole
from ..formulas.op import Activation, Op, Shape
from ..vocabulary.special import Digamma, I1e

__all__ = ["I0", "I1", "Erfcx", "Ndtri", "Polygamma", "Zeta"]

#: B_2k / (2k)! for k = 1, 2, ...
BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000,
)  # fmt: skip
#: So many terms are summed before the series begins, which is right to 1e-17 then.
STEPS = 12


def hurwitz(s: float, q: Array) -> Array:
    """sum over k >= 0 of (q + k)^-s for q > 0 and s > 1, by Euler and Maclaurin (DLMF 25.11.5).

    >>> float(hurwitz(2.0, np.array(1.0)) - math.pi**2 / 6) < 1e-15
    True
    """
    sum_ = np.exp(-s * np.log(q))
    for k in range(1, STEPS):
        sum_ = sum_ + np.exp(-s * np.log(q + k))
    far = q + STEPS
    inverse, factor = 1 / (far * far), s
    series = 0 * q + 0.5
    power = 1 / far
    for k, b in enumerate(BERNOULLI, 1):
        series = series + (b * factor) * power
        factor *= (s + 2 * k - 1) * (s + 2 * k)
        power = power * inverse
    return sum_ + np.exp(-s * np.log(far)) * (far / (s - 1) + series)


@dataclass(frozen=True)
class Polygamma(Activation):
    """y = (-1)^(n+1) n! zeta(n + 1, z) for z > 0: the n-th derivative of digamma; f' is the next.

    Parameters
    ----------
    n : a whole number >= 1.
    """

    n: int

    def __post_init__(self) -> None:
        whole(self, "n", least=1)

    def f(self, z: Array) -> Array:
        return _polygamma(self.n, z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * _polygamma(self.n + 1, z)


def _polygamma(n: int, z: Array) -> Array:
    sign = (-1.0) ** (n + 1)

    def form() -> Array:
        return sign * np.exp(lgamma(like(np.array(n + 1.0), z))) * hurwitz(n + 1.0, z)

    if n == 1:
        best = Digamma().df(like(np.array(1.0), z), z, z)
    else:
        best = sign * math.factorial(n) * hurwitz(n + 1.0, z)
    return usual(best, {"e^(log n!) zeta(n + 1, z)": form})


@dataclass(frozen=True)
class Zeta(Op):
    """z = zeta(s, q) = sum over k >= 0 of (q + k)^-s for q > 0;  dq = -s zeta(s + 1, q) dz.

    Parameters
    ----------
    s : a number > 1; it has no gradient.
    """

    s: float
    elementwise: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def forward(self, *y: Array) -> Array:
        return hurwitz(self.s, y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (dz * (-self.s * hurwitz(self.s + 1, y[0])),)


class I0(Activation):
    """y = I_0(z), the modified Bessel function; f'(z) = I_1(z)."""

    def f(self, z: Array) -> Array:
        return i0e(abs(z)) * np.exp(abs(z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * I1().f(z)


class I1(Activation):
    """y = I_1(z), the modified Bessel function; f'(z) = I_0(z) - I_1(z) / z, and 1/2 at 0."""

    def f(self, z: Array) -> Array:
        return I1e().f(z) * np.exp(abs(z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        x = abs(z)
        return dy * ((i0e(x) - i1e_ratio(x)) * np.exp(x))


#: From here on the slope of erfcx is taken from its continued fraction of so many levels.
FRACTION, LEVELS = 2.0, 60


class Erfcx(Activation):
    """y = e^(z^2) erfc(z); f'(z) = 2 z y - 2 / sqrt(pi).

    For z > 2 it is -2 K y, where y = 1 / (sqrt(pi) (z + K)) and
    K = (1/2) / (z + 1 / (z + (3/2) / (z + ...))), which does not cancel (DLMF 7.9.2).
    """

    def f(self, z: Array) -> Array:
        return erfcx(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        w, far = erfcx(z), np.maximum(z, FRACTION)
        rest = 0 * far
        for k in range(LEVELS, 0, -1):
            rest = 0.5 * k / (far + rest)
        plain = 2.0 * z * w - 2 / math.sqrt(math.pi)
        return dy * usual(
            np.where(z > FRACTION, -2.0 * rest * w, plain), {"2 z y - 2 / sqrt(pi)": lambda: plain}
        )


class Ndtri(Activation):
    """y with Phi(y) = z for 0 < z < 1, Phi that of the normal; f'(z) = sqrt(2 pi) e^(y^2/2)."""

    def f(self, z: Array) -> Array:
        return ndtri(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        w = ndtri(z)
        return dy * (math.sqrt(2 * math.pi) * np.exp(0.5 * w * w))
