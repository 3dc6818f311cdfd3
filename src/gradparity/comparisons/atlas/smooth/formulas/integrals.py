"""The gamma function's further relatives and integrals of exponentials."""

from __future__ import annotations

from typing import Any

from .formula import Formula, smooth

__all__ = ["INTEGRALS"]

#: Beyond, an asymptotic series has all digits.
FAR = 1000
#: Beyond, the gamma function overflows in every format, or is between poles at all numbers.
LARGE = 1e4


def _dawson(m: Any, x: Any) -> Any:
    """e^(-x^2) times the integral of e^(t^2) from 0 to x."""
    if abs(x) < FAR:
        return m.sqrt(m.pi) / 2 * m.exp(-x * x) * m.erfi(x)
    return sum(_far_terms(m, x)) / (2 * x)


def _dawson_slope(m: Any, x: Any) -> Any:
    """1 - 2 x D(x); far out the series starts with that 1."""
    if abs(x) < FAR:
        return 1 - 2 * x * _dawson(m, x)
    return -sum(_far_terms(m, x)[1:])


def _far_terms(m: Any, x: Any) -> list[Any]:
    terms = [m.mpf(1)]
    for n in range(1, 40):
        terms.append(terms[-1] * (2 * n - 1) / (2 * x * x))
    return terms


def _gamma_slope(m: Any, x: Any) -> Any:
    return m.gamma(x) * m.digamma(x)


def _density(m: Any, x: Any) -> Any:
    """The density of the gamma distribution of shape 2.5."""
    return x * m.sqrt(x) * m.exp(-x) / m.gamma(m.mpf(5) / 2)


def _two_log_gammas(m: Any, x: Any) -> Any:
    return m.log(m.pi) / 2 + m.loggamma(x) + m.loggamma(x - m.mpf(1) / 2)


INTEGRALS = {
    "gamma": Formula(lambda m, x: m.gamma(x), _gamma_slope, -LARGE, LARGE),
    "factorial": Formula(lambda m, x: m.gamma(1 + x), lambda m, x: _gamma_slope(m, 1 + x),
                         0, LARGE),
    "expi": Formula(lambda m, x: m.ei(x), lambda m, x: m.exp(x) / x, -LARGE, LARGE, (0.0,)),
    "dawsn": smooth(_dawson, _dawson_slope),
    "polygamma(1, x)": Formula(lambda m, x: m.polygamma(1, x),
                               lambda m, x: m.polygamma(2, x), 0),
    "polygamma(2, x)": Formula(lambda m, x: m.polygamma(2, x),
                               lambda m, x: m.polygamma(3, x), 0),
    "zeta(2, x)": Formula(lambda m, x: m.polygamma(1, x), lambda m, x: m.polygamma(2, x), 0),
    "gammainc(2.5, x)": Formula(lambda m, x: m.gammainc(2.5, 0, x, regularized=True),
                                _density, 0, LARGE),
    "gammaincc(2.5, x)": Formula(lambda m, x: m.gammainc(2.5, x, regularized=True),
                                 lambda m, x: -_density(m, x), 0, LARGE),
    "multigammaln(x, 2)": Formula(_two_log_gammas,
                                  lambda m, x: m.digamma(x) + m.digamma(x - m.mpf(1) / 2), 0.5),
    "betaln(x, 2)": Formula(lambda m, x: -m.log(x) - m.log1p(x),
                            lambda m, x: -1 / x - 1 / (1 + x), 0),
    "beta(x, 2)": Formula(lambda m, x: 1 / x / (1 + x),
                          lambda m, x: -(1 + 2 * x) / (x * (1 + x)) ** 2, 0),
    "betainc(2, 3, x)": Formula(lambda m, x: x * x * (6 - 8 * x + 3 * x * x),
                                lambda m, x: 12 * x * (1 - x) ** 2, 0, 1),
}  # fmt: skip
