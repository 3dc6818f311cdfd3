"""Special functions: the error function's family, the gamma function's, entropies."""

from __future__ import annotations

from typing import Any

from .activations import normal, normal_density
from .formula import Formula, smooth

__all__ = ["SPECIAL"]

#: Beyond, e^(x^2) has no number in any format, and an asymptotic series has all digits.
FAR = 1000


def _bell(m: Any, x: Any) -> Any:
    """The slope of the error function."""
    return 2 / m.sqrt(m.pi) * m.exp(-x * x)


def _erfcx(m: Any, x: Any) -> Any:
    """e^(x^2) erfc(x)."""
    if x < FAR:
        return m.exp(x * x) * m.erfc(x)
    total, term = m.mpf(0), m.mpf(1)
    for n in range(1, 40):
        total += term
        term *= -(2 * n - 1) / (2 * x * x)
        if abs(term) < m.eps:
            break
    return total / (x * m.sqrt(m.pi))


def _erfcx_slope(m: Any, x: Any) -> Any:
    if x < FAR:
        return 2 * x * _erfcx(m, x) - 2 / m.sqrt(m.pi)
    with m.workprec(3 * m.prec + 4 * abs(m.mag(x))):
        return 2 * x * _erfcx(m, x) - 2 / m.sqrt(m.pi)


def _erfinv(m: Any, x: Any) -> Any:
    return m.erfinv(x)


def _erfinv_slope(m: Any, x: Any) -> Any:
    return 1 / _bell(m, m.erfinv(x))


def _quantile(m: Any, x: Any) -> Any:
    """The inverse of the normal distribution function."""
    x = m.mpf(x)
    if abs(x - m.mpf(1) / 2) < 0.4:
        return m.sqrt(2) * m.erfinv(2 * x - 1)
    tail = x if x < 0.5 else 1 - x
    start = -m.sqrt(-2 * m.log(tail))
    for _ in range(300):  # Newton's method on the logarithm, which is concave
        probability = normal(m, start)
        step = (m.log(probability) - m.log(tail)) * probability / normal_density(m, start)
        start -= step
        if abs(step) <= abs(start) * m.eps * 8:
            break
    return start if x < 0.5 else -start


def _log_normal_slope(m: Any, x: Any) -> Any:
    if x > -FAR:
        return normal_density(m, x) / normal(m, x)
    return m.sqrt(2 / m.pi) / _erfcx(m, -x / m.sqrt(2))


def _log_normal(m: Any, x: Any) -> Any:
    if x > 0:
        return m.log1p(-normal(m, -x))
    if x > -FAR:
        return m.log(normal(m, x))
    return m.log(_erfcx(m, -x / m.sqrt(2)) / 2) - x * x / 2


def _poles(formula: Formula) -> Formula:
    """Leave out large arguments, where all numbers of a format are integers."""
    return formula._replace(low=-1e4)


def _log_gamma(m: Any, x: Any) -> Any:
    if x > 0:
        return m.loggamma(x)
    return m.log(m.pi / abs(m.sinpi(x))) - m.loggamma(1 - x)


SPECIAL = {
    "erf": smooth(lambda m, x: m.erf(x), _bell),
    "erfc": smooth(lambda m, x: m.erfc(x), lambda m, x: -_bell(m, x)),
    "erfcx": Formula(_erfcx, _erfcx_slope, -FAR),
    "erfinv": Formula(_erfinv, _erfinv_slope, -1, 1),
    "ndtr": smooth(normal, normal_density),
    "logndtr": smooth(_log_normal, _log_normal_slope),
    "ndtri": Formula(_quantile, lambda m, x: 1 / normal_density(m, _quantile(m, x)), 0, 1),
    "lgamma": _poles(Formula(_log_gamma, lambda m, x: m.digamma(x))),
    "loggamma": Formula(_log_gamma, lambda m, x: m.digamma(x), 0),  # complex below
    "digamma": _poles(Formula(lambda m, x: m.digamma(x), lambda m, x: m.polygamma(1, x))),
    "xlogy(x, 3)": smooth(lambda m, x: x * m.log(3), lambda m, x: m.log(3)),
    "xlogy(2, x)": Formula(lambda m, x: 2 * m.log(x), lambda m, x: 2 / x, 0),
    "xlog1py(2, x)": Formula(lambda m, x: 2 * m.log1p(x), lambda m, x: 2 / (1 + x), -1),
    "xlog1py(x, 2)": smooth(lambda m, x: x * m.log(3), lambda m, x: m.log(3)),
    "entr": Formula(lambda m, x: -x * m.log(x), lambda m, x: -m.log(x) - 1, 0),
    "relentr(x, 2)": Formula(lambda m, x: x * m.log(x / 2), lambda m, x: m.log(x / 2) + 1, 0),
    "relentr(2, x)": Formula(lambda m, x: 2 * m.log(2 / x), lambda m, x: -2 / x, 0),
    "kldiv(2, x)": Formula(lambda m, x: 2 * m.log(2 / x) - 2 + x, lambda m, x: 1 - 2 / x, 0),
    "kldiv(x, 2)": Formula(lambda m, x: x * m.log(x / 2) - x + 2, lambda m, x: m.log(x / 2), 0),
    "logit": Formula(lambda m, x: m.log(x) - m.log1p(-x), lambda m, x: 1 / (x * (1 - x)), 0, 1),
    "spence": Formula(lambda m, x: m.re(m.polylog(2, 1 - x)),
                      lambda m, x: m.log(x) / (1 - x) if x != 1 else -m.mpf(1), 1e-10, 1e3),
}  # fmt: skip
