"""Special functions that NumPy lacks, elementwise, to a few units roundoff of float64.

Each is a ufunc, so that `Bounded` and `Varied` can take part, with object output, so that numbers
of more digits can answer for themselves by a method of the same name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from .arrays import Array

__all__ = [
    "digamma",
    "erfcx",
    "erfinv",
    "i0e",
    "i0e_less_i1e",
    "i1e_ratio",
    "lgamma",
    "ndtri",
    "trigamma",
]


def _ufunc(name: str, f: Callable[[float], float]) -> Any:
    def of(x: Any) -> Any:
        return getattr(x, name)() if hasattr(x, name) else f(float(x))

    return np.frompyfunc(of, 1, 1)


def _applied(ufunc: Any, x: Array) -> Array:
    y: Any = ufunc(x)
    return np.asarray(y, dtype=x.dtype) if isinstance(x, np.ndarray) else y


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x) if x > 0 else math.inf if x == 0 else math.nan
    except OverflowError:
        return math.inf


#: B_2k / 2k for k = 1, 2, ...: the asymptotic series of the digamma function (DLMF 5.11.2).
BERNOULLI = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _digamma(x: float) -> float:
    """psi(x) by psi(x) = psi(x + 1) - 1/x, up to where the series is right to 4e-17."""
    if not x > 0:
        return -math.inf if x == 0 else math.nan
    steps = []
    while x < 10:
        steps.append(-1 / x)
        x += 1
    series = [-b / x ** (2 * k) for k, b in enumerate(BERNOULLI, 1)] if x < 1e16 else []
    return math.fsum([math.log(x), -0.5 / x, *series, *steps])


def _trigamma(x: float) -> float:
    """psi'(x) by psi'(x) = psi'(x + 1) + 1/x^2 and the derivative of the same series."""
    if not x > 0:
        return math.inf if x == 0 else math.nan
    steps = []
    while x < 10:
        steps.append(1 / x / x)
        x += 1
    series = [2 * k * b / x ** (2 * k + 1) for k, b in enumerate(BERNOULLI, 1)] if x < 1e16 else []
    return math.fsum([1 / x, 0.5 / x / x, *series, *steps])


def _erfinv(x: float) -> float:
    """The inverse error function from the normal quantile (Wichura 1988, AS 241)."""
    if not abs(x) < 1:
        return math.copysign(math.inf, x) if abs(x) == 1 else math.nan
    if abs(x) > 0.5:
        return math.copysign(NormalDist().inv_cdf(0.5 - 0.5 * abs(x)) / math.sqrt(2), x)
    y = NormalDist().inv_cdf(0.5 + 0.5 * x) / math.sqrt(2)  # with an error of 1e-16
    return y - (math.erf(y) - x) * (0.5 * math.sqrt(math.pi) * math.exp(y * y))


def _ndtri(p: float) -> float:
    """The normal quantile (Wichura 1988, AS 241), with a step of Newton's where it is near 0."""
    if not 0 < p < 1:
        return -math.inf if p == 0 else math.inf if p == 1 else math.nan
    y = NormalDist().inv_cdf(p)
    if abs(p - 0.5) > 0.25:
        return y
    return y - (0.5 * math.erf(y / math.sqrt(2)) - (p - 0.5)) * math.sqrt(2 * math.pi) * math.exp(
        y * y / 2
    )


#: From here on the continued fraction of erfcx, of so many levels, is right to 1e-18.
FRACTION, LEVELS = 1.5, 100


def _erfcx(x: float) -> float:
    """e^(x^2) erfc(x), far out by Laplace's continued fraction (DLMF 7.9.2)."""
    if x < FRACTION:
        return math.exp(x * x) * math.erfc(x) if x > -26 else math.inf
    tail = x
    for k in range(LEVELS, 0, -1):
        tail = x + 0.5 * k / tail
    return 1 / (math.sqrt(math.pi) * tail)


#: 1 - cos t at so many points of the circle: means over them have an error of e^-70 for x < 30.
CIRCLE = tuple(2 * math.sin(math.pi * k / 64) ** 2 for k in range(64))
#: Where the asymptotic series of so many terms take over (DLMF 10.40.1).
ASYMPTOTIC, TERMS = 30.0, 30


def _bessel(weight: Callable[[float], float], zero: float, one: float) -> Callable[[float], float]:
    """The mean over t of weight(1 - cos t) e^(-x (1 - cos t)), for x >= 0 (DLMF 10.32.1 and 2).

    It is zero I_0(x) e^-x + one I_1(x) e^-x, the factor x^-1 aside.
    """

    def f(x: float) -> float:
        if x < ASYMPTOTIC:
            return math.fsum(weight(t) * math.exp(-x * t) for t in CIRCLE) / len(CIRCLE)
        a, b, terms = 1.0, 1.0, [zero + one]
        for k in range(1, TERMS):
            odd = (2 * k - 1) ** 2
            a, b = a * (odd / (8 * k * x)), b * ((odd - 4) / (8 * k * x))
            terms.append(zero * a + one * b)
        return math.fsum(terms) / math.sqrt(2 * math.pi) / math.sqrt(x)

    return f


def _i1e_ratio(x: float) -> float:
    return _ratio(x) / x if x >= ASYMPTOTIC else _ratio(x)


_ratio = _bessel(lambda t: t * (2 - t), 0.0, 1.0)

i0e_ufunc = _ufunc("i0e", _bessel(lambda t: 1.0, 1.0, 0.0))
i0e_less_i1e_ufunc = _ufunc("i0e_less_i1e", _bessel(lambda t: t, 1.0, -1.0))
i1e_ratio_ufunc = _ufunc("i1e_ratio", _i1e_ratio)
lgamma_ufunc = _ufunc("lgamma", _lgamma)
digamma_ufunc = _ufunc("digamma", _digamma)
trigamma_ufunc = _ufunc("trigamma", _trigamma)
erfinv_ufunc = _ufunc("erfinv", _erfinv)
erfcx_ufunc = _ufunc("erfcx", _erfcx)
ndtri_ufunc = _ufunc("ndtri", _ndtri)


def lgamma(x: Array) -> Array:
    """Log Gamma(x) for x > 0; near its roots 1 and 2 accurate to float64 in units of one.

    >>> lgamma(np.array([0.0, 1.0, 5.0]))[:2]
    array([inf,  0.])
    """
    return _applied(lgamma_ufunc, x)


def digamma(x: Array) -> Array:
    """d/dx log Gamma(x) for x > 0; near its root 1.46 accurate in units of one.

    >>> digamma(np.array([1.0], np.float32))
    array([-0.5772157], dtype=float32)
    """
    return _applied(digamma_ufunc, x)


def trigamma(x: Array) -> Array:
    """The derivative of `digamma`, for x > 0.

    >>> trigamma(np.array([1.0], np.float32))
    array([1.644934], dtype=float32)
    """
    return _applied(trigamma_ufunc, x)


def erfinv(x: Array) -> Array:
    """The y with erf(y) = x, for -1 <= x <= 1.

    >>> erfinv(np.array([0.5, 1.0], np.float32))
    array([0.47693628,        inf], dtype=float32)
    """
    return _applied(erfinv_ufunc, x)


def ndtri(x: Array) -> Array:
    """The y with Phi(y) = x, for 0 <= x <= 1, Phi the distribution function of the normal.

    >>> np.round(ndtri(np.array([0.5, 0.975], np.float32)), 3)
    array([0.  , 1.96], dtype=float32)
    """
    return _applied(ndtri_ufunc, x)


def erfcx(x: Array) -> Array:
    """e^(x^2) erfc(x), which does not underflow.

    >>> erfcx(np.array([0.0, 2.0], np.float32))
    array([1.        , 0.25539568], dtype=float32)
    """
    return _applied(erfcx_ufunc, x)


def i0e(x: Array) -> Array:
    """I_0(x) e^-x for x >= 0, I_0 the modified Bessel function.

    >>> i0e(np.array([0.0, 2.0], np.float32))
    array([1.        , 0.30850834], dtype=float32)
    """
    return _applied(i0e_ufunc, x)


def i0e_less_i1e(x: Array) -> Array:
    """(I_0(x) - I_1(x)) e^-x for x >= 0, without its cancellation."""
    return _applied(i0e_less_i1e_ufunc, x)


def i1e_ratio(x: Array) -> Array:
    """I_1(x) e^-x / x for x >= 0, and 1/2 at 0."""
    return _applied(i1e_ratio_ufunc, x)
