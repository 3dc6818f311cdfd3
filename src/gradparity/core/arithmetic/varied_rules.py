"""How each NumPy function spreads rounding errors, in `Varied` arithmetic.

Own variances, with v = 1/3 (a uniform error at the worst mantissa), u the roundoff of a stored
result, u_s that of partial sums, u_f that of rounded factors:

====================  ==========================================================================
operation             variance of its own rounding
====================  ==========================================================================
a + b, a b, a / b     v u^2 z^2
sum of n terms t      v [u_s^2 (n/6 + 1) sum t^2 + (u_s^2 n/3 + u^2) z^2]
A @ B                 the same over the products t = a b, and v 2 u_f^2 sum t^2
exp, tanh, hypot ...  v (9 u_s^2 + u^2) z^2
sign, floor, rint ..  0
sin, cos              the same, + v 9 u_s^2 where |a| > 1
lgamma, digamma       the same, + v 36 u_s^2
logaddexp             v ((3 u_s + u |a - b|)^2 log(1 + e^-|a - b|)^2 + u^2 z^2)
====================  ==========================================================================

That of a sum averages over the orders of its terms: E s_k^2 = (k/n)(1 - (k-1)/(n-1)) sum t^2 +
k(k-1)/(n(n-1)) z^2 for the partial sum of k terms, summed over k.  Elementary functions err alike
at like arguments, so a draw gives all elements of one call the same sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import special
from .arrays import Array, erf_ufunc, erfc_ufunc
from .carried import (
    Axis,
    axes_of,
    given_infinity,
    in_range,
    keeping_infinity,
    one_axis,
    whole_exponent,
)
from .error_function import erf_of_floats, erfc_of_floats
from .rounding import SIGMAS, VARIANCE
from .sums import FEW, Terms
from .varied import Noise, Varied

#: Error of an elementary function in u: 10 sigma (17 u) are over twice the worst measured, 6.8 u.
ELEMENTARY = 3.0


def _result(
    value: Array, parts: Sequence[tuple[Varied, Any]], variance: Any, alike: bool = False
) -> Varied:
    """A result whose error is sum factor * error over the parts, and one of its own."""
    noise = parts[0][0].noise
    spread = noise.own(variance, alike=alike)
    for part, factor in parts:
        if not part.exact:
            spread = spread + noise.carried(factor) * part.spread
    return Varied(value, in_range(value, spread, noise.largest), noise)


def _stored(value: Array, noise: Noise) -> Array:
    return VARIANCE * np.square(noise.out * value)


def _additive(ufunc: Any, sign: float) -> Callable[..., Varied]:
    def rule(a: Varied, b: Varied) -> Varied:
        value = ufunc(a.value, b.value)
        z = _result(value, [(a, 1.0), (b, sign)], _stored(value, a.noise))
        return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))

    return rule


def _multiply(a: Varied, b: Varied) -> Varied:
    value = a.value * b.value
    return _result(value, [(a, b.value), (b, a.value)], _stored(value, a.noise))


def _divide(a: Varied, b: Varied) -> Varied:
    value = a.value / b.value
    alike = a.exact and b.exact and b.ndim == 0  # equal numbers by one number are rounded alike
    parts = [(a, 1 / b.value), (b, -value / b.value)]
    return _result(value, parts, _stored(value, a.noise), alike)


def _square(a: Varied) -> Varied:
    value = np.square(a.value)
    return _result(value, [(a, 2 * a.value)], _stored(value, a.noise))


def _power(a: Varied, n: Varied) -> Varied:
    """a ** n for a whole number n >= 0: a product of n factors."""
    exponent = whole_exponent(n)
    value = a.value**exponent
    slope = exponent * a.value ** max(exponent - 1, 0)
    return _result(value, [(a, slope)], exponent * _stored(value, a.noise))


def _extremum(ufunc: Any) -> Callable[..., Varied]:
    def rule(a: Varied, b: Varied) -> Varied:
        value = ufunc(a.value, b.value)
        if a.exact and b.exact:
            return Varied(value, 0.0, a.noise)
        first = (value == a.value) & ~((value == b.value) & a.exact)
        spread = np.where(first, a.spread, b.spread)
        if a.noise.rng is None:
            # Either may win in an implementation: max(z, 0) is not known to be 0 for z = -sigma.
            either = np.square(a.value - b.value) <= SIGMAS**2 * (a.spread + b.spread)
            spread = np.where(either, np.maximum(a.spread, b.spread), spread)
        return Varied(value, spread, a.noise)

    return rule


def _elementary(
    f: Callable[[Any], Any],
    slope: Callable[[Any, Any], Any],
    absolute: float = 0.0,
    beyond: float = 0.0,
) -> Callable[..., Varied]:
    """The rule of an elementary function.

    Parameters
    ----------
    f : the function.
    slope : f'(a), from a and f(a).
    absolute : its error in units of one, where |a| > beyond.
    """

    def rule(a: Varied) -> Varied:
        noise = a.noise
        value = np.asarray(f(a.value), dtype=np.float64)
        units = (ELEMENTARY * noise.sums) ** 2 + noise.out**2
        ones = absolute * noise.sums * (np.abs(a.value) > beyond if beyond else 1.0)
        variance = VARIANCE * (units * np.square(value) + np.square(ones))
        return _result(value, [(a, slope(a.value, value))], variance, alike=True)

    return rule


def _steps(f: Callable[[Any], Any]) -> Callable[..., Varied]:
    """The rule of a step function: between its steps nothing spreads."""
    return lambda a: Varied(f(a.value), 0.0, a.noise)


def _hypot(a: Varied, b: Varied) -> Varied:
    noise, value = a.noise, np.hypot(a.value, b.value)
    divisor = np.where(value > 0, value, 1.0)
    variance = VARIANCE * ((ELEMENTARY * noise.sums) ** 2 + noise.out**2) * np.square(value)
    z = _result(value, [(a, a.value / divisor), (b, b.value / divisor)], variance)
    return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))


def _arctan2(a: Varied, b: Varied) -> Varied:
    noise, value = a.noise, np.arctan2(a.value, b.value)
    length = np.hypot(a.value, b.value)
    divisor = np.where(length > 0, length, 1.0)
    variance = VARIANCE * ((ELEMENTARY * noise.sums) ** 2 + noise.out**2) * np.square(value)
    parts = [(a, b.value / divisor / divisor), (b, -a.value / divisor / divisor)]
    return _result(value, parts, variance)


def _logaddexp(a: Varied, b: Varied) -> Varied:
    """max(a, b) + log(1 + e^-|a - b|); the slopes are the shares of the exponentials."""
    noise, value = a.noise, np.logaddexp(a.value, b.value)
    apart = np.abs(a.value - b.value)
    apart = np.where(np.isfinite(apart), apart, 0.0)
    own = (ELEMENTARY * noise.sums + noise.out * apart) * np.log1p(np.exp(-apart))
    variance = VARIANCE * (np.square(own) + np.square(noise.out * value))
    parts = [(x, np.where(np.isinf(x.value), 0.0, np.exp(x.value - value))) for x in (a, b)]
    z = _result(value, parts, variance)
    return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))


def _erf_slope(x: Any) -> Any:
    return 2 / np.sqrt(np.pi) * np.exp(-np.square(x))


def accumulation(n: int, noise: Noise, terms: Terms, value: Array, factors: float) -> Array:
    """Variance of the rounding inside sums of n terms, whose values are `value`.

    Where `ordered`, the terms come as they stand, and equal ones are rounded alike; see `Terms`.
    """
    partial2 = np.square(value)
    alike: Any = 0.0
    if noise.ordered and n > FEW:
        most, equal = terms.spread(), terms.repeats()
        partial2 = np.square(most)
        # As wide as SIGMAS of these: what `Rounding.accumulation` adds to its bound.
        alike = np.square(np.where(equal >= FEW, equal, 0) * (0.5 * noise.sums) * most / SIGMAS)
    inside = (2 * factors**2 + noise.sums**2 * (n / 6 + 1)) * terms.squares()
    inside = inside + noise.sums**2 * (n / 3) * partial2 + noise.out**2 * np.square(value)
    return VARIANCE * inside + alike


def _matmul(a: Varied, b: Varied) -> Varied:
    n, noise = a.value.shape[-1], a.noise
    value = a.value @ b.value
    terms = Terms.of_product(a.value, b.value, noise.sums)
    spread = noise.own(accumulation(n, noise, terms, value, noise.factors))
    if not a.exact:
        spread = spread + a.full() @ noise.carried(b.value)
    if not b.exact:
        spread = spread + noise.carried(a.value) @ b.full()
    return Varied(value, in_range(value, spread, noise.largest), noise)


def _sum(noise: Noise, x: Varied, axis: Axis = None, keepdims: bool = False) -> Varied:
    def total_of(a: Array) -> Array:
        return np.sum(a, axis=axis, keepdims=keepdims)

    n = math.prod(x.shape[a] for a in axes_of(axis, x.ndim))
    if n == 1:
        return x.moved(lambda a, _: np.asarray(total_of(a)))
    value = np.asarray(total_of(x.value))
    terms = Terms.of_sum(x.value, axis, keepdims, noise.sums)
    spread = noise.own(accumulation(n, noise, terms, value, 0.0))
    if not x.exact:
        spread = spread + total_of(x.full())
    z = Varied(value, in_range(value, spread, noise.largest), noise)
    return keeping_infinity(z, lambda: np.any(given_infinity(x), axis=axis, keepdims=keepdims))


def _max(noise: Noise, x: Varied, axis: Axis = None, keepdims: bool = False) -> Varied:
    axes = axes_of(axis, x.ndim)
    winner = np.argmax(one_axis(x.value, axes), axis=0)[np.newaxis]
    shape = np.max(x.value, axis=axis, keepdims=keepdims).shape

    def won(a: Array, _: float) -> Array:
        return np.take_along_axis(one_axis(a, axes), winner, axis=0).reshape(shape)

    return x.moved(won)


def _clip(noise: Noise, x: Varied, low: float, high: float) -> Varied:
    return np.minimum(np.maximum(x, low), high)  # type: ignore[return-value]


Varied.UFUNCS |= {
    np.add: _additive(np.add, 1.0),
    np.subtract: _additive(np.subtract, -1.0),
    np.multiply: _multiply,
    np.divide: _divide,
    np.matmul: _matmul,
    np.square: _square,
    np.power: _power,
    np.maximum: _extremum(np.maximum),
    np.minimum: _extremum(np.minimum),
    np.exp: _elementary(np.exp, lambda x, y: y),
    np.expm1: _elementary(np.expm1, lambda x, y: y + 1),
    np.log: _elementary(np.log, lambda x, y: 1 / x),
    np.log1p: _elementary(np.log1p, lambda x, y: 1 / (1 + x)),
    np.sqrt: _elementary(np.sqrt, lambda x, y: 0.5 / y),
    np.tanh: _elementary(np.tanh, lambda x, y: np.square(1 / np.cosh(x))),
    np.arctan: _elementary(np.arctan, lambda x, y: 1 / (1 + np.square(x))),
    np.sign: _steps(np.sign),
    np.floor: _steps(np.floor),
    np.ceil: _steps(np.ceil),
    np.rint: _steps(np.rint),
    np.sin: _elementary(np.sin, lambda x, y: np.cos(x), ELEMENTARY, 1.0),
    np.cos: _elementary(np.cos, lambda x, y: -np.sin(x), ELEMENTARY, 1.0),
    np.hypot: _hypot,
    np.arctan2: _arctan2,
    np.logaddexp: _logaddexp,
    erf_ufunc: _elementary(erf_of_floats, lambda x, y: _erf_slope(x), 2 * ELEMENTARY),
    erfc_ufunc: _elementary(erfc_of_floats, lambda x, y: -_erf_slope(x)),
    special.erfcx_ufunc: _elementary(
        special.erfcx_ufunc, lambda x, y: 2 * x * y - 2 / np.sqrt(np.pi)
    ),
    special.i0e_ufunc: _elementary(
        special.i0e_ufunc, lambda x, y: -np.asarray(special.i0e_less_i1e_ufunc(x), np.float64)
    ),
    # Both fall like x^-1.5; these slopes are right at 0 and far from it.
    special.i0e_less_i1e_ufunc: _elementary(
        special.i0e_less_i1e_ufunc, lambda x, y: -1.5 * y / (1 + x)
    ),
    special.i1e_ratio_ufunc: _elementary(
        special.i1e_ratio_ufunc, lambda x, y: -1.5 * y / (1.5 + x)
    ),
    special.erfinv_ufunc: _elementary(
        special.erfinv_ufunc, lambda x, y: np.sqrt(np.pi) / 2 * np.exp(np.square(y))
    ),
    special.ndtri_ufunc: _elementary(
        special.ndtri_ufunc, lambda x, y: np.sqrt(2 * np.pi) * np.exp(np.square(y) / 2)
    ),
    special.lgamma_ufunc: _elementary(
        special.lgamma_ufunc,
        lambda x, y: np.asarray(special.digamma_ufunc(x), np.float64),
        2 * ELEMENTARY,
    ),
    special.digamma_ufunc: _elementary(
        special.digamma_ufunc,
        lambda x, y: np.asarray(special.trigamma_ufunc(x), np.float64),
        2 * ELEMENTARY,
    ),
    # Its slope, from above.
    special.trigamma_ufunc: _elementary(
        special.trigamma_ufunc, lambda x, y: -1 / np.square(x) - 2 / (x * np.square(x))
    ),
}

Varied.FUNCTIONS |= {
    np.sum: _sum,
    np.max: _max,
    np.clip: _clip,
}
