"""Roots, powers, logarithms, exponentials, circular and hyperbolic functions."""

from __future__ import annotations

from typing import Any

from .activations import log_sum, sigmoid
from .formula import Formula, smooth

__all__ = ["ELEMENTARY"]


def _sign(x: Any) -> int:
    return 1 if x > 0 else -1


def _cube_root(m: Any, x: Any) -> Any:
    return _sign(x) * m.cbrt(abs(x))


def _arcsinh(m: Any, x: Any) -> Any:
    a = abs(x)
    return _sign(x) * m.log1p(a + a * a / (1 + m.sqrt(1 + a * a)))


def _arctanh(m: Any, x: Any) -> Any:
    return (m.log1p(x) - m.log1p(-x)) / 2


def _sine(m: Any, x: Any) -> Any:
    return m.sin(x)


def _cosine(m: Any, x: Any) -> Any:
    return m.cos(x)


def _sinc(m: Any, x: Any) -> Any:
    return m.sincpi(x)


def _sinc_slope(m: Any, x: Any) -> Any:
    return (m.cospi(x) - m.sincpi(x)) / x if x else m.mpf(0)


def _power(exponent: float) -> Formula:
    """A power of positive numbers; the exponent is exact in every format."""
    return Formula(lambda m, x: x ** m.mpf(exponent),
                   lambda m, x: exponent * x ** m.mpf(exponent - 1), 0)  # fmt: skip


def _exponential(base: str) -> Formula:
    def value(m: Any, x: Any) -> Any:
        return m.exp(x * m.log(m.mpf(base)))

    return smooth(value, lambda m, x: value(m, x) * m.log(m.mpf(base)))


def _log2_sum(m: Any, x: Any) -> Any:
    return log_sum(m, x * m.log(2)) / m.log(2)


def _log1mexp(m: Any, x: Any) -> Any:
    """log(1 - e^-x)."""
    return m.log(-m.expm1(-x)) if x < 1 else m.log1p(-m.exp(-x))


ELEMENTARY = {
    "sqrt": Formula(lambda m, x: m.sqrt(x), lambda m, x: 1 / (2 * m.sqrt(x)), 0),
    "rsqrt": Formula(lambda m, x: 1 / m.sqrt(x), lambda m, x: -1 / (2 * x * m.sqrt(x)), 0),
    "cbrt": Formula(_cube_root, lambda m, x: 1 / (3 * _cube_root(m, x) ** 2), kinks=(0.0,)),
    "square": smooth(lambda m, x: x * x, lambda m, x: 2 * x),
    "reciprocal": Formula(lambda m, x: 1 / x, lambda m, x: -1 / x**2, kinks=(0.0,)),
    "pow(x, 2)": smooth(lambda m, x: x**2, lambda m, x: 2 * x),
    "pow(x, 3)": smooth(lambda m, x: x**3, lambda m, x: 3 * x**2),
    "pow(x, -1)": Formula(lambda m, x: 1 / x, lambda m, x: -1 / x**2, kinks=(0.0,)),
    "pow(x, 4)": smooth(lambda m, x: x**4, lambda m, x: 4 * x**3),
    "pow(x, 7)": smooth(lambda m, x: x**7, lambda m, x: 7 * x**6),
    "pow(x, -2)": Formula(lambda m, x: 1 / x**2, lambda m, x: -2 / x**3, kinks=(0.0,)),
    "pow(x, 0.5)": _power(0.5),
    "pow(x, 0.25)": _power(0.25),
    "pow(x, 1.5)": _power(1.5),
    "pow(x, 2.5)": _power(2.5),
    "pow(x, -0.5)": _power(-0.5),
    "pow(2, x)": _exponential("2"),
    "pow(10, x)": _exponential("10"),
    "pow(0.5, x)": _exponential("0.5"),
    "exp": smooth(lambda m, x: m.exp(x), lambda m, x: m.exp(x)),
    "exp2": _exponential("2"),
    "expm1": smooth(lambda m, x: m.expm1(x), lambda m, x: m.exp(x)),
    "log": Formula(lambda m, x: m.log(x), lambda m, x: 1 / x, 0),
    "log2": Formula(lambda m, x: m.log(x) / m.log(2), lambda m, x: 1 / (x * m.log(2)), 0),
    "log10": Formula(lambda m, x: m.log(x) / m.log(10), lambda m, x: 1 / (x * m.log(10)), 0),
    "log1p": Formula(lambda m, x: m.log1p(x), lambda m, x: 1 / (1 + x), -1),
    "log1mexp": Formula(_log1mexp, lambda m, x: 1 / m.expm1(x), 0),
    "logaddexp(x, 0)": smooth(log_sum, sigmoid),
    "logaddexp2(x, 0)": smooth(_log2_sum, lambda m, x: sigmoid(m, x * m.log(2))),
    "deg2rad": smooth(lambda m, x: x * m.pi / 180, lambda m, x: m.pi / 180),
    "rad2deg": smooth(lambda m, x: x * 180 / m.pi, lambda m, x: 180 / m.pi),
    "sin": smooth(_sine, _cosine),
    "cos": smooth(_cosine, lambda m, x: -m.sin(x)),
    "tan": smooth(lambda m, x: m.tan(x), lambda m, x: 1 / m.cos(x) ** 2),
    "asin": Formula(lambda m, x: m.asin(x), lambda m, x: 1 / m.sqrt((1 - x) * (1 + x)), -1, 1),
    "acos": Formula(lambda m, x: m.acos(x), lambda m, x: -1 / m.sqrt((1 - x) * (1 + x)), -1, 1),
    "atan": smooth(lambda m, x: m.atan(x), lambda m, x: 1 / (1 + x * x)),
    "atan2(x, 1)": smooth(lambda m, x: m.atan(x), lambda m, x: 1 / (1 + x * x)),
    "atan2(1, x)": smooth(lambda m, x: m.atan2(1, x), lambda m, x: -1 / (1 + x * x)),
    "hypot(x, 1)": smooth(lambda m, x: m.sqrt(1 + x * x), lambda m, x: x / m.sqrt(1 + x * x)),
    "sinh": smooth(lambda m, x: m.sinh(x), lambda m, x: m.cosh(x)),
    "cosh": smooth(lambda m, x: m.cosh(x), lambda m, x: m.sinh(x)),
    "asinh": smooth(_arcsinh, lambda m, x: 1 / m.sqrt(1 + x * x)),
    "acosh": Formula(lambda m, x: m.acosh(x), lambda m, x: 1 / m.sqrt((x - 1) * (x + 1)), 1),
    "atanh": Formula(_arctanh, lambda m, x: 1 / ((1 - x) * (1 + x)), -1, 1),
    "sinc": smooth(_sinc, _sinc_slope),
}  # fmt: skip
