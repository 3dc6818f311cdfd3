"""How each NumPy function carries a rounding bound along, in `Bounded` arithmetic.

The rules are those of running error analysis (Wilkinson; Higham, Accuracy and Stability of
Numerical Algorithms, chapters 3 and 4):

====================  ==========================================================================
operation             what it adds to the bound (u: unit roundoff)
====================  ==========================================================================
a + b                 e_a + e_b + 2 u |a + b|
a b                   |a| e_b + |b| e_a + e_a e_b + 2 u |a b|
a / b                 (e_a + |a/b| e_b) / (|b| - e_b) + 3 u |a/b|
sum of n terms t      sum e_t + gamma_{n} sum |t|                  gamma_n = n u / (1 - n u)
A @ B                 gamma_n |A| |B| + |A| e_B + e_A |B| + e_A e_B
exp, tanh, log, ...   the image of [a - e, a + e], + 8 u |f(a)|
sign, floor, rint ..  the image of [a - e, a + e]
erf                   the same, + 16 u of one
erfc, erfcx, erfinv   the same as exp, + 8 u of itself; trigamma too
i0e and its like      the image, + 16 u of itself
lgamma, digamma       the image, + 8 u of itself, + 16 u of one (they have roots)
sin, cos              |slope| e + e^2 / 2, at most e, + 8 u of one (of itself where |a| <= 1)
hypot                 hypot(e_a, e_b), + 8 u |hypot(a, b)|
arctan2               arcsin(hypot(e_a, e_b) / hypot(a, b)), + 8 u |arctan2(a, b)|
logaddexp             the image, + 2 u of itself, + (8 + |a - b|) u log(1 + e^-|a - b|)
a times a power of 2  |power| e_a
====================  ==========================================================================

One of the 2 u is the operation's own rounding; the other is the freedom of implementations to
associate and fuse: (g + g y)(1 - y) for g (1 - y^2), s (a x) for (s a) x, a (1/b) for a / b.
Every operation also adds the smallest normal number, because results below it may be flushed to
zero; a constant that is not a short binary fraction (0.01, 1/T) is rounded data, +- u of itself.
What sums and matrix products are charged is for `rounding` to say; in low precision
they are added up with more digits and then stored: gamma_n of float32, and + u |A @ B|.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import special
from .arrays import Array, erf_ufunc, erfc_ufunc
from .bounded import Bounded
from .carried import Axis, axes_of, given_infinity, in_range, keeping_infinity, whole_exponent
from .error_function import erf_of_floats, erfc_of_floats
from .rounding import Rounding
from .sums import FEW, Terms, in_runs


def _rounded(
    value: Array, inherited: Any, rounding: Rounding, relative: Array | None = None
) -> Bounded:
    relative = 2.0 * rounding.u if relative is None else relative
    error: Any = np.abs(value)
    if np.ndim(inherited) or inherited:
        error += inherited
    error *= relative
    error += inherited
    error += rounding.tiny
    return (
        Bounded(value, error, rounding)
        if rounding.forms is None
        else _saturated(value, error, rounding)
    )


def _saturated(value: Array, error: Array, rounding: Rounding) -> Bounded:
    """A step of a usual form: what surely overflows is infinite, exactly."""
    size, largest = np.abs(value), rounding.largest
    if not size.max(initial=0.0) + error.max(initial=0.0) > largest:
        return Bounded(value, error, rounding)
    infinite = size - np.where(np.isinf(value), 0.0, error) > largest
    maybe = ~infinite & (size + error > largest)
    value = np.where(infinite, np.copysign(np.inf, value), value)
    return Bounded(value, np.where(infinite, 0.0, np.where(maybe, np.inf, error)), rounding)


def _additive(ufunc: Any) -> Callable[..., Bounded]:
    def rule(a: Bounded, b: Bounded) -> Bounded:
        value = ufunc(a.value, b.value)
        inherited = a.error + b.error
        if a.rounding.distributive:
            inherited = inherited + 2.0 * a.rounding.u * (np.abs(a.value) + np.abs(b.value))
        z = _rounded(value, inherited, a.rounding)
        exact = a.exact and b.exact and not a.rounding.distributive
        if exact and not value.all():  # 1 - 1 is exactly 0
            z = Bounded(z.value, np.where(z.value == 0.0, 0.0, z.error), a.rounding)
        return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))

    return rule


def _times_error(a: Bounded, b: Bounded, product: Callable[[Any, Any], Any]) -> Any:
    """|a| e_b + e_a |b| + e_a e_b, leaving out what is exact; of 0 times no bound, no bound."""
    error: Any = 0.0
    if np.ndim(b.error) or b.error:
        error = error + product(np.abs(a.value), b.full_error())
    if np.ndim(a.error) or a.error:
        error = error + product(a.full_error(), np.abs(b.value) + b.error)
    if np.isnan(np.sum(error)):
        lost = np.isnan(error) & np.isfinite(product(a.value, b.value))
        error = np.where(lost, np.inf, error)
    return error


def _is_power_of_two(x: Bounded) -> bool:
    """Whether x is one exact power of two, by which nothing is rounded when it scales."""
    return x.value.ndim == 0 and x.exact and float(np.frexp(np.abs(x.value))[0]) == 0.5


def _scales_exactly(x: Bounded) -> Array:
    """True at elements that are exact and 0, 1 or another power of two, such as a saturated y."""
    mantissa = np.frexp(np.abs(x.value))[0]
    return ((mantissa == 0.5) | (mantissa == 0.0)) & (np.asarray(x.error) == 0.0)


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    value, error = a.value * b.value, _times_error(a, b, np.multiply)
    if _is_power_of_two(a) or _is_power_of_two(b):
        return _rounded(value, error, a.rounding, 0.0)
    if a.rounding.forms is None:
        return _rounded(value, error, a.rounding)
    # A form of a saturated output is exactly 0, and explains no other number.
    exact = _scales_exactly(a) | _scales_exactly(b)
    return _rounded(value, error, a.rounding, np.where(exact, 0.0, 2.0 * a.rounding.u))


def _divide(a: Bounded, b: Bounded) -> Bounded:
    value = a.value / b.value
    if _is_power_of_two(b):
        return _rounded(value, a.error / np.abs(b.value), a.rounding, 0.0)
    room = np.abs(b.value) - b.error
    inherited = np.where(room > 0, (a.error + np.abs(value) * b.error) / room, np.inf)
    if a.rounding.forms is not None:  # 1 / inf is 0
        inherited = np.where(np.isinf(b.value) & np.isfinite(a.value), 0.0, inherited)
    return _rounded(value, inherited, a.rounding, 3.0 * a.rounding.u)


def _power(a: Bounded, n: Bounded) -> Bounded:
    """a ** n for a whole number n >= 0: a product of n factors."""
    product = Bounded(np.ones_like(a.value), 0.0, a.rounding)
    for _ in range(whole_exponent(n)):
        product = _multiply(product, a)
    return product


def _extremum(ufunc: Any) -> Callable[..., Bounded]:
    def rule(a: Bounded, b: Bounded) -> Bounded:
        value = ufunc(a.value, b.value)
        if not (np.any(a.error) or np.any(b.error)):
            return Bounded(value, 0.0, a.rounding)
        # The image of both intervals: however badly a is known, min(a, 1) is at most 1.
        above = ufunc(a.value + a.error, b.value + b.error) - value
        below = value - ufunc(a.value - a.error, b.value - b.error)
        error = np.maximum(above, below)
        either = np.maximum(a.error, b.error)
        return Bounded(value, np.where(np.isnan(error), either, error), a.rounding)

    return rule


def _increasing(
    f: Callable[[Any], Any], lowest: float = -np.inf, highest: float = np.inf
) -> Callable[..., Bounded]:
    """The rule of an increasing elementary function: the image of [a - e, a + e], and 8 u."""

    def rule(a: Bounded) -> Bounded:
        value = np.asarray(f(a.value), dtype=np.float64)
        if not np.any(a.error):
            return _rounded(value, 0.0, a.rounding, a.rounding.elementary)
        above = np.asarray(f(np.minimum(a.value + a.error, highest)), dtype=np.float64) - value
        below = value - np.asarray(f(np.maximum(a.value - a.error, lowest)), dtype=np.float64)
        inherited = np.where(a.full_error() > 0, np.maximum(above, below), 0.0)
        return _rounded(value, inherited, a.rounding, a.rounding.elementary)

    return rule


def _steps(f: Callable[[Any], Any]) -> Callable[..., Bounded]:
    """The rule of a step function that rises: the image of [a - e, a + e], and no rounding."""

    def rule(a: Bounded) -> Bounded:
        value = f(a.value)
        error = np.maximum(f(a.value + a.error) - value, value - f(a.value - a.error))
        return Bounded(value, np.where(a.full_error() > 0, error, 0.0), a.rounding)

    return rule


def _exp(a: Bounded) -> Bounded:
    """e^-inf is exactly 0 where the infinity was given."""
    z = _increasing(np.exp)(a)
    gone = np.isneginf(a.value) & (np.asarray(a.error) == 0.0)
    return Bounded(z.value, np.where(gone, 0.0, z.error), z.rounding) if gone.any() else z


def _erf(a: Bounded) -> Bounded:
    """PyTorch's GELU has it as 1 - p(x) e^(-x^2), right to 11 u of one and not of itself."""
    image = _increasing(erf_of_floats)(a)
    return Bounded(image.value, image.error + 2.0 * a.rounding.elementary, a.rounding)


def _erfc(a: Bounded) -> Bounded:
    """It falls: the image of [a - e, a + e] by its slope at the nearer end, and 8 u of itself."""
    value = erfc_of_floats(a.value)
    if not np.any(a.error):
        return _rounded(value, 0.0, a.rounding, a.rounding.elementary)
    e = a.full_error()
    near = np.maximum(np.abs(a.value) - e, 0.0)
    image = np.minimum(2.0 / math.sqrt(math.pi) * np.exp(-near * near) * e, 2.0)
    return _rounded(value, np.where(e > 0, image, 0.0), a.rounding, a.rounding.elementary)


def _falling(f: Callable[[Any], Any], lowest: float = -np.inf) -> Callable[..., Bounded]:
    return lambda a: -_increasing(lambda x: -f(x), lowest)(a)


def _bessel(f: Callable[[Any], Any]) -> Callable[..., Bounded]:
    def rule(a: Bounded) -> Bounded:
        z = _falling(f, 0.0)(a)
        return _rounded(z.value, z.error, a.rounding, a.rounding.elementary)

    return rule


def _digamma(a: Bounded) -> Bounded:
    image = _increasing(special.digamma_ufunc, 0.0)(a)
    return Bounded(image.value, image.error + 2.0 * a.rounding.elementary, a.rounding)


def _lgamma(a: Bounded) -> Bounded:
    """It is convex: above its tangent, and below the larger value at the ends of [a - e, a + e]."""
    value, e, rounding = (
        np.asarray(special.lgamma_ufunc(a.value), np.float64),
        a.full_error(),
        a.rounding,
    )
    image: Any = 0.0
    if not a.exact:
        ends = (
            special.lgamma_ufunc(a.value + e),
            special.lgamma_ufunc(np.maximum(a.value - e, 0.0)),
        )
        above = np.maximum(*(np.asarray(end, np.float64) - value for end in ends))
        below = e * np.abs(np.asarray(special.digamma_ufunc(a.value), np.float64))
        image = np.where(e > 0, np.maximum(above, below), 0.0)
    z = _rounded(value, image, rounding, rounding.elementary)
    return Bounded(value, z.error + 2.0 * rounding.elementary, rounding)


def _wave(f: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Callable[..., Bounded]:
    """The rule of sin and cos, which implementations give to 8 u of one far from 0."""

    def rule(a: Bounded) -> Bounded:
        value, e, rounding = f(a.value), a.full_error(), a.rounding
        image = np.minimum(np.minimum(np.abs(slope(a.value)) + 0.5 * e, 1.0) * e, 2.0)
        size = np.where(np.abs(a.value) <= 1.0, np.abs(value), 1.0)
        inherited = image + rounding.elementary * (size + image)
        return _rounded(value, np.minimum(inherited, 2.0 + rounding.elementary), rounding, 0.0)

    return rule


def _hypot(a: Bounded, b: Bounded) -> Bounded:
    """The length of (a, b) changes by at most the length of what is added to (a, b)."""
    inherited = np.hypot(a.full_error(), b.full_error())
    z = _rounded(np.hypot(a.value, b.value), inherited, a.rounding, a.rounding.elementary)
    return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))


def _arctan2(a: Bounded, b: Bounded) -> Bounded:
    """The angle of (b, a) changes by at most the angle under which the errors are seen from 0."""
    value = np.arctan2(a.value, b.value)
    seen, e = np.hypot(a.value, b.value), np.hypot(a.full_error(), b.full_error())
    known = e < seen
    image = np.where(known, np.arcsin(np.where(known, e / np.where(known, seen, 1.0), 0.0)), np.pi)
    image = np.where(e > 0, image, 0.0)
    # Across the negative half of b the angle jumps from pi to -pi.
    across = (
        (a.full_error() > 0) & (np.abs(a.value) <= a.full_error()) & (b.value <= b.full_error())
    )
    image = np.where(across, 2.0 * np.pi, image)
    return _rounded(value, image, a.rounding, a.rounding.elementary)


def _logaddexp(a: Bounded, b: Bounded) -> Bounded:
    """max(a, b) + log(1 + e^-|a - b|), in which the difference is rounded."""
    f, rounding = np.logaddexp, a.rounding
    value, apart = f(a.value, b.value), np.abs(a.value - b.value)
    apart = np.where(np.isfinite(apart), apart, 0.0)  # an infinity stands for the sum itself
    above = f(a.value + a.error, b.value + b.error) - value
    below = value - f(a.value - a.error, b.value - b.error)
    either = np.maximum(a.full_error(), b.full_error())
    image = np.minimum(np.maximum(above, below), either)
    image = np.where(either > 0, np.where(np.isnan(image), either, image), 0.0)
    own = (rounding.elementary + rounding.u * apart) * np.log1p(np.exp(-apart))
    z = _rounded(value, image + own, rounding)
    return keeping_infinity(z, lambda: given_infinity(a) | given_infinity(b))


def _matmul(a: Bounded, b: Bounded) -> Bounded:
    n, rounding = a.value.shape[-1], a.rounding
    sharp = rounding.statistical and n > FEW
    n += a.fresh + b.fresh
    a, b = _operand(a), _operand(b)
    value, spread = in_runs(a.value, b.value) if sharp else (a.value @ b.value, None)
    terms = Terms.of_product(a.value, b.value, rounding.u)
    terms = terms._replace(spread=lambda: np.abs(value) if spread is None else spread)
    error = rounding.accumulation(n, terms)
    inherited = (1.0 + rounding.gamma(n)) * _times_error(a, b, np.matmul)
    if rounding.operands:
        inherited = inherited + rounding.operands * (np.abs(a.value) @ np.abs(b.value))
    error = error + inherited + rounding.stored(value)
    return Bounded(value, in_range(value, error, rounding.largest), rounding)


def _without_fresh(x: Bounded) -> Bounded:
    """The same without a fresh error, which a sum counts as one more rounding."""
    return Bounded.exactly(x.value, x.rounding) if x.fresh else x


def _operand(x: Bounded) -> Bounded:
    """The operand of a matrix product: without a fresh error, and rounded where operands are."""
    x = _without_fresh(x)
    return Bounded(x.rounding.operand(x.value), x.error, x.rounding)


def _sum(rounding: Rounding, x: Bounded, axis: Axis = None, keepdims: bool = False) -> Bounded:
    def total(a: Array) -> Array:
        return np.sum(a, axis=axis, keepdims=keepdims)

    n = math.prod(x.shape[a] for a in axes_of(axis, x.ndim)) + x.fresh
    x = _without_fresh(x)
    value = np.asarray(total(x.value))
    error = rounding.accumulation(n, Terms.of_sum(x.value, axis, keepdims, rounding.u))
    if np.ndim(x.error) or x.error:
        error = error + (1.0 + rounding.gamma(n)) * total(x.full_error())
    error = error + rounding.stored(value)
    z = Bounded(value, in_range(value, error, rounding.largest), rounding)
    return keeping_infinity(z, lambda: np.any(given_infinity(x), axis=axis, keepdims=keepdims))


def _max(rounding: Rounding, x: Bounded, axis: Axis = None, keepdims: bool = False) -> Bounded:
    """The image of the intervals: an element that cannot be the largest adds nothing."""

    def largest(a: Array) -> Array:
        return np.max(a, axis=axis, keepdims=keepdims)

    value = largest(x.value)
    above, below = largest(x.value + x.error), largest(x.value - x.error)
    error = np.where(above == below, 0.0, np.maximum(above - value, value - below))
    return Bounded(value, error, rounding)


def _clip(rounding: Rounding, x: Bounded, low: float, high: float) -> Bounded:
    """However badly x is known, what is clipped lies in [low, high]."""
    bottom, top = Bounded.lift(low, rounding), Bounded.lift(high, rounding)
    value = np.clip(x.value, low, high)
    above = np.minimum(x.value + x.error, high) - value
    below = value - np.maximum(x.value - x.error, low)
    error = np.maximum(np.maximum(above, below), 0.0) + np.maximum(bottom.error, top.error)
    return Bounded(value, error, rounding)


Bounded.UFUNCS |= {
    np.add: _additive(np.add),
    np.subtract: _additive(np.subtract),
    np.multiply: _multiply,
    np.divide: _divide,
    np.matmul: _matmul,
    np.square: lambda a: _multiply(a, a),
    np.power: _power,
    np.maximum: _extremum(np.maximum),
    np.minimum: _extremum(np.minimum),
    np.exp: _exp,
    np.expm1: _increasing(np.expm1),
    np.log: _increasing(np.log, 0.0),
    np.log1p: _increasing(np.log1p, -1.0),
    np.sqrt: _increasing(np.sqrt, 0.0),
    np.tanh: _increasing(np.tanh),
    np.arctan: _increasing(np.arctan),
    np.sign: _steps(np.sign),
    np.floor: _steps(np.floor),
    np.ceil: _steps(np.ceil),
    np.rint: _steps(np.rint),
    np.sin: _wave(np.sin, np.cos),
    np.cos: _wave(np.cos, np.sin),
    np.hypot: _hypot,
    np.arctan2: _arctan2,
    np.logaddexp: _logaddexp,
    erf_ufunc: _erf,
    erfc_ufunc: _erfc,
    special.erfcx_ufunc: _falling(special.erfcx_ufunc),
    special.i0e_ufunc: _bessel(special.i0e_ufunc),
    special.i0e_less_i1e_ufunc: _bessel(special.i0e_less_i1e_ufunc),
    special.i1e_ratio_ufunc: _bessel(special.i1e_ratio_ufunc),
    special.erfinv_ufunc: _increasing(special.erfinv_ufunc, -1.0, 1.0),
    special.ndtri_ufunc: _increasing(special.ndtri_ufunc, 0.0, 1.0),
    special.lgamma_ufunc: _lgamma,
    special.digamma_ufunc: _digamma,
    special.trigamma_ufunc: _falling(special.trigamma_ufunc, 0.0),
}

Bounded.FUNCTIONS |= {
    np.sum: _sum,
    np.max: _max,
    np.clip: _clip,
}
