"""Activations by the textbook, at any precision: what the best forms are held to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath
import numpy as np

from gradparity.core import (
    ELU,
    GELU,
    SELU,
    Hardtanh,
    Identity,
    LeakyReLU,
    RandomizedLeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from gradparity.core.formulas.piecewise import SELU_A, SELU_SCALE
from gradparity.core.vocabulary.activations import (
    CELU,
    LogSigmoid,
    Mish,
    Softsign,
    SparsePlus,
    Squareplus,
    Tanhshrink,
)
from gradparity.core.vocabulary.kinked import (
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Softshrink,
    Threshold,
)
from gradparity.core.vocabulary.pointwise import (
    Abs,
    Arctan,
    Erf,
    Erfc,
    Expm1,
    Reciprocal,
    Scale,
    Square,
)
from gradparity.core.vocabulary.special import Digamma, Erfinv, I0e, I1e, Lgamma, LogNdtr, Sinc

#: The root of the digamma function.
PSI_ROOT = 1.4616321449683622

__all__ = ["FORMULAS", "Formula", "sigma", "softplus"]


class Formula(NamedTuple):
    """An activation: its value and slope by the textbook, and where digits may be lost.

    Parameters
    ----------
    op : the activation.
    value, slope : of (context, z).
    tail : further units roundoff of the bound at z, where a rounded argument is exponentiated.
    until : the tail ends here.
    points : those of the log-spaced points that lie in its domain, and others near its end.
    roots : between these points the slope is a difference of like numbers.
    """

    op: Any
    value: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    tail: Callable[[float], float] = lambda z: 0.0
    roots: tuple[float, float] = (0.0, 0.0)
    until: float = 60.0
    points: Callable[[Any], Any] = lambda x: x


def sigma(M: Any, z: Any) -> Any:
    return 1 / (1 + M.exp(-z))


def leaky(a: float) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    return (lambda M, z: z if z > 0 else a * z), (lambda M, z: M.mpf(1) if z > 0 else M.mpf(a))


def elu(s: float, a: float) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    def value(M, z):
        return M.mpf(s) * z if z > 0 else M.mpf(s) * M.mpf(a) * M.expm1(z)

    def slope(M, z):
        return M.mpf(s) if z > 0 else M.mpf(s) * M.mpf(a) * M.exp(z)

    return value, slope


def softplus(M: Any, z: Any) -> Any:
    return max(z, 0) + M.log1p(M.exp(-abs(z)))


def gelu_tanh(M: Any, z: Any) -> Any:
    return z * sigma(M, 2 * _argument(M, z))


def gelu_tanh_slope(M: Any, z: Any) -> Any:
    u, du = _argument(M, z), M.sqrt(2 / M.pi) * (1 + 3 * M.mpf("0.044715") * z * z)
    e = M.exp(-2 * abs(u))
    return sigma(M, 2 * u) + 2 * z * du * e / (1 + e) ** 2


def _argument(M: Any, z: Any) -> Any:
    return M.sqrt(2 / M.pi) * (z + M.mpf("0.044715") * z**3)


def normal(M: Any, z: Any) -> Any:
    """Phi(z); beyond 60 it is 0 or 1 to 700 digits."""
    return M.erfc(-min(max(z, -60), 60) / M.sqrt(2)) / 2


def gelu_slope(M: Any, z: Any) -> Any:
    return normal(M, z) + z * M.exp(-z * z / 2) / M.sqrt(2 * M.pi)


def mish(M: Any, z: Any) -> Any:
    return M.tanh(softplus(M, z))


def mish_slope(M: Any, z: Any) -> Any:
    return mish(M, z) + z * sigma(M, z) / M.cosh(softplus(M, z)) ** 2


def squareplus(M: Any, z: Any) -> Any:
    """(z + sqrt(z^2 + 3)) / 2; multiplied out, a sum of like signs."""
    root = M.sqrt(z * z + 3)
    return (z + root) / 2 if z > 0 else M.mpf(3) / 2 / (root - z)


def tanhshrink(M: Any, z: Any) -> Any:
    """z - tanh z; by its series where no digits of the difference would be left."""
    return z - M.tanh(z) if abs(z) > 1e-9 else z**3 / 3 - 2 * z**5 / 15


def bell(M: Any, z: Any) -> Any:
    return 2 / M.sqrt(M.pi) * M.exp(-min(z * z, M.mpf(10) ** 4))


def erfc(M: Any, z: Any) -> Any:
    """Beyond 60 it is 0 or 2 to 700 digits."""
    return M.erfc(min(max(z, -60), 60))


def log_of_gamma(M: Any, z: Any) -> Any:
    return M.re(M.loggamma(z))


def digamma(M: Any, z: Any) -> Any:
    return M.psi(0, z)


def trigamma(M: Any, z: Any) -> Any:
    return M.psi(1, z)


def not_a_pole(x: Any) -> Any:
    """Points where Gamma has no pole; just below 0 the angle pi z underflows in part."""
    return (x > 0) | (np.floor(x) != x) & (x > -60) & (x < -1e-30)


def _lost(z: float, value: Callable[[Any, Any], Any], of_large: Callable[[float], float]) -> float:
    """Units roundoff below 0, where a value of 1 - z and one of the angle pi z cancel."""
    if z > 0:
        return 0.0
    terms = 1 + of_large(2 - z) + abs(math.pi / math.tan(math.pi * z))
    return float(64 * terms / abs(value(mpmath.mp, mpmath.mpf(z))))


def hard(M: Any, z: Any) -> Any:
    return min(max(z, M.mpf(-1)), M.mpf(1))


def sinc(M: Any, z: Any) -> Any:
    return M.sinpi(z) / (M.pi * z)


def sinc_slope(M: Any, z: Any) -> Any:
    """By its series where no digits of the difference would be left."""
    if abs(z) < 1e-9:
        return -(M.pi**2) * z / 3 + M.pi**4 * z**3 / 30
    return (M.cospi(z) - sinc(M, z)) / z


def mills(M: Any, z: Any) -> Any:
    """Phi(z) / phi(z) for z < -60, by Laplace's continued fraction."""
    tail = -z
    for k in range(60, 0, -1):
        tail = -z + k / tail
    return 1 / tail


def log_ndtr(M: Any, z: Any) -> Any:
    if z < -60:
        return -z * z / 2 - M.log(2 * M.pi) / 2 + M.log(mills(M, z))
    return M.log(normal(M, z)) if z < 0 else M.log1p(-normal(M, -z))


def log_ndtr_slope(M: Any, z: Any) -> Any:
    if z < -60:
        return 1 / mills(M, z)
    return M.exp(-(min(z, 60) ** 2) / 2) / M.sqrt(2 * M.pi) / normal(M, z)


def scaled_bessel(M: Any, z: Any) -> Any:
    """I_0 and I_1 of |z|, times e^-|z|; from 1e3 on by the asymptotic series, right to 1e-60."""
    x = abs(z)
    if x < 1e3:
        return [M.exp(-x) * M.besseli(n, x) for n in (0, 1)]
    sums = []
    for n in (0, 1):
        terms = [M.mpf(1)]
        for k in range(1, 24):
            terms.append(-terms[-1] * (4 * n * n - (2 * k - 1) ** 2) / (8 * k * x))
        sums.append(sum(terms) / M.sqrt(2 * M.pi * x))
    return sums


def i0e_slope(M: Any, z: Any) -> Any:
    return -M.sign(z) * bessel_difference(M, z)


def bessel_difference(M: Any, z: Any) -> Any:
    """I_0 - I_1, scaled; I_0 / 2z to 1e-30 where the two have many digits in common."""
    zero, one = scaled_bessel(M, z)
    return zero - one if abs(z) < 1e30 else zero / (2 * abs(z))


def i1e_slope(M: Any, z: Any) -> Any:
    return bessel_difference(M, z) - scaled_bessel(M, z)[1] / abs(z)


def within_one(x: Any) -> Any:
    """Numbers between -1 and 1, dense at both ends and at 0."""
    small = x[(x > 0) & (x < 0.5)]
    p = np.unique(np.concatenate([small, (1 - small)[1 - small < 1]]))
    return np.concatenate([-p, p])


FORMULAS = [
    Formula(Identity(), lambda M, z: z, lambda M, z: M.mpf(1)),
    Formula(Sigmoid(), sigma, lambda M, z: sigma(M, z) * sigma(M, -z)),
    Formula(Tanh(), lambda M, z: M.tanh(z), lambda M, z: 4 * sigma(M, 2 * z) * sigma(M, -2 * z)),
    Formula(ReLU(), *leaky(0.0)),
    Formula(LeakyReLU(), *leaky(0.01)),
    Formula(RandomizedLeakyReLU(training=False), *leaky(RandomizedLeakyReLU().mean)),
    Formula(Softplus(), softplus, sigma),
    Formula(
        Softplus(threshold=20.0),
        lambda M, z: z if z > 20 else softplus(M, z),
        lambda M, z: M.mpf(1) if z > 20 else sigma(M, z),
    ),
    Formula(ELU(), *elu(1.0, 1.0)),
    Formula(ELU(a=0.7), *elu(1.0, 0.7)),
    Formula(SELU(), *elu(SELU_SCALE, SELU_A)),
    Formula(
        SiLU(),
        lambda M, z: z * sigma(M, z),
        lambda M, z: sigma(M, z) * (1 + z * sigma(M, -z)),
        roots=(-1.7, -1.0),
    ),
    Formula(
        GELU(),
        lambda M, z: z * normal(M, z),
        gelu_slope,
        tail=lambda z: 8 * z * z,
        roots=(-1.2, -0.5),
    ),
    Formula(
        GELU("tanh"),
        gelu_tanh,
        gelu_tanh_slope,
        tail=lambda z: 12 * abs(z * (1.6 + 0.0714 * z * z)),
        roots=(-1.7, -0.4),
    ),
    Formula(Hardtanh(), hard, lambda M, z: M.mpf(1) if -1 < z <= 1 else M.mpf(0)),
    Formula(
        Hardtanh(0.0, 6.0),
        lambda M, z: min(max(z, M.mpf(0)), M.mpf(6)),
        lambda M, z: M.mpf(1) if 0 < z <= 6 else M.mpf(0),
    ),
    Formula(
        SiLU(1.5),
        lambda M, z: z * sigma(M, 1.5 * z),
        lambda M, z: sigma(M, 1.5 * z) * (1 + 1.5 * z * sigma(M, -1.5 * z)),
        tail=lambda z: 4 * abs(z),
        roots=(-1.2, -0.6),
        until=1e3,
    ),
    Formula(LogSigmoid(), lambda M, z: -softplus(M, -z), lambda M, z: sigma(M, -z)),
    Formula(Mish(), lambda M, z: z * mish(M, z), mish_slope, roots=(-3.0, -0.4)),
    Formula(Softsign(), lambda M, z: z / (1 + abs(z)), lambda M, z: 1 / (1 + abs(z)) ** 2),
    Formula(Tanhshrink(), tanhshrink, lambda M, z: M.tanh(z) ** 2),
    Formula(
        Squareplus(3.0),
        squareplus,
        lambda M, z: squareplus(M, z) / M.sqrt(z * z + 3),
    ),
    Formula(
        SparsePlus(),
        lambda M, z: M.mpf(0) if z <= -1 else z if z >= 1 else (z + 1) ** 2 / 4,
        lambda M, z: M.mpf(0) if z <= -1 else M.mpf(1) if z >= 1 else (z + 1) / 2,
    ),
    Formula(
        CELU(0.7),
        lambda M, z: z if z > 0 else M.mpf(0.7) * M.expm1(z / M.mpf(0.7)),
        lambda M, z: M.mpf(1) if z > 0 else M.exp(z / M.mpf(0.7)),
        tail=lambda z: 8 * abs(z),
        until=1e3,
    ),
    Formula(
        Hardsigmoid(),
        lambda M, z: min(max((z + 3) / 6, M.mpf(0)), M.mpf(1)),
        lambda M, z: M.mpf(1) / 6 if -3 < z <= 3 else M.mpf(0),
    ),
    Formula(
        Hardswish(),
        lambda M, z: z * min(max((z + 3) / 6, M.mpf(0)), M.mpf(1)),
        lambda M, z: M.mpf(0) if z <= -3 else M.mpf(1) if z > 3 else (2 * z + 3) / 6,
        roots=(-1.7, -1.3),
    ),
    Formula(
        Softshrink(0.75),
        lambda M, z: z - M.sign(z) * M.mpf(0.75) if abs(z) > 0.75 else M.mpf(0),
        lambda M, z: M.mpf(1) if abs(z) > 0.75 else M.mpf(0),
    ),
    Formula(
        Hardshrink(0.75),
        lambda M, z: z if abs(z) > 0.75 else M.mpf(0),
        lambda M, z: M.mpf(1) if abs(z) > 0.75 else M.mpf(0),
    ),
    Formula(
        Threshold(0.5, -1.0),
        lambda M, z: z if z > 0.5 else M.mpf(-1),
        lambda M, z: M.mpf(1) if z > 0.5 else M.mpf(0),
    ),
    Formula(Scale(-1.5), lambda M, z: M.mpf(-1.5) * z, lambda M, z: M.mpf(-1.5)),
    Formula(Abs(), lambda M, z: abs(z), lambda M, z: M.sign(z)),
    Formula(Arctan(), lambda M, z: M.atan(z), lambda M, z: 1 / (1 + z * z)),
    # Its bound is in units of one, as PyTorch's GELU has it.
    Formula(Erf(), lambda M, z: M.erf(z), bell, tail=lambda z: 8 * z * z + 32 / min(1, abs(z))),
    Formula(Erfc(), erfc, lambda M, z: -bell(M, z), tail=lambda z: 8 * z * z),
    Formula(Expm1(), lambda M, z: M.expm1(z), lambda M, z: M.exp(z)),
    Formula(Square(), lambda M, z: z * z, lambda M, z: 2 * z),
    Formula(Reciprocal(), lambda M, z: 1 / z, lambda M, z: -1 / (z * z)),
    # Its slope has roots everywhere, near which it is known to roundoffs of one.
    Formula(Sinc(), sinc, sinc_slope, roots=(-np.inf, np.inf)),
    # Near its roots its bound is in units of one.
    Formula(
        Lgamma(),
        log_of_gamma,
        digamma,
        tail=lambda z: max(
            64 / min(1, abs(z - 1), abs(z - 2), abs(z - PSI_ROOT)),
            _lost(z, log_of_gamma, math.lgamma),
            _lost(z, digamma, math.log),
        ),
        points=lambda x: x[(x != 1) & (x != 2) & not_a_pole(x)],
    ),
    Formula(
        Digamma(),
        digamma,
        trigamma,
        tail=lambda z: max(32 / min(1, abs(z - PSI_ROOT)), _lost(z, digamma, math.log)),
        points=lambda x: x[not_a_pole(x)],
    ),
    Formula(
        Erfinv(),
        lambda M, z: M.erfinv(z),
        lambda M, z: M.sqrt(M.pi) / 2 * M.exp(M.erfinv(z) ** 2),
        tail=lambda z: -32 * np.log1p(-abs(z)),
        points=within_one,
    ),
    Formula(I0e(), lambda M, z: scaled_bessel(M, z)[0], i0e_slope),
    Formula(I1e(), lambda M, z: M.sign(z) * scaled_bessel(M, z)[1], i1e_slope, roots=(-8, 8)),
    Formula(LogNdtr(), log_ndtr, log_ndtr_slope, tail=lambda z: 8 * z * z),
]
