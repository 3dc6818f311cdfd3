"""Bessel functions, as they are and times an exponential, and Airy's function."""

from __future__ import annotations

from typing import Any

from .formula import Formula

__all__ = ["BESSEL"]

#: Beyond, mpmath's Bessel functions are slow.
FAR = 2000.0


def _near(value: Any, slope: Any, kinks: tuple[float, ...] = ()) -> Formula:
    return Formula(value, slope, -FAR, FAR, kinks)


def _right(value: Any, slope: Any) -> Formula:
    """A function of positive numbers."""
    return Formula(value, slope, 0, FAR)


def _i(order: int, scaled: bool) -> Any:
    def value(m: Any, x: Any) -> Any:
        return m.besseli(order, x) * (m.exp(-abs(x)) if scaled else 1)

    return value


def _scaled_i_slope(order: int) -> Any:
    def slope(m: Any, x: Any) -> Any:
        sign = 1 if x > 0 else -1
        inner = m.besseli(1, x) if order == 0 else _i1_slope(m, x)
        return (inner - sign * m.besseli(order, x)) * m.exp(-abs(x))

    return slope


def _i1_slope(m: Any, x: Any) -> Any:
    return (m.besseli(0, x) + m.besseli(2, x)) / 2


def _scaled_k(order: int) -> Any:
    return lambda m, x: m.besselk(order, x) * m.exp(x)


def _k0e_slope(m: Any, x: Any) -> Any:
    return (m.besselk(0, x) - m.besselk(1, x)) * m.exp(x)


def _k1e_slope(m: Any, x: Any) -> Any:
    return (m.besselk(1, x) - m.besselk(0, x) - m.besselk(1, x) / x) * m.exp(x)


def _ball(m: Any, x: Any) -> Any:
    return m.sin(x) / x if x else m.mpf(1)


def _ball_slope(m: Any, x: Any) -> Any:
    if not x:
        return m.mpf(0)
    with m.workprec(m.prec + 2 * max(0, -m.mag(x))):
        return (m.cos(x) - m.sin(x) / x) / x


BESSEL = {
    "i0": _near(_i(0, False), lambda m, x: m.besseli(1, x)),
    "i0e": _near(_i(0, True), _scaled_i_slope(0), (0.0,)),
    "i1": _near(_i(1, False), _i1_slope),
    "i1e": _near(_i(1, True), _scaled_i_slope(1)),
    "besselj0": _near(lambda m, x: m.besselj(0, x), lambda m, x: -m.besselj(1, x)),
    "besselj1": _near(lambda m, x: m.besselj(1, x),
                      lambda m, x: (m.besselj(0, x) - m.besselj(2, x)) / 2),
    "bessely0": _right(lambda m, x: m.bessely(0, x), lambda m, x: -m.bessely(1, x)),
    "bessely1": _right(lambda m, x: m.bessely(1, x),
                       lambda m, x: m.bessely(0, x) - m.bessely(1, x) / x),
    "k0e": _right(_scaled_k(0), _k0e_slope),
    "k1e": _right(_scaled_k(1), _k1e_slope),
    "sphericalbesselj0": _near(_ball, _ball_slope),
    "airyai": Formula(lambda m, x: m.airyai(x), lambda m, x: m.airyai(x, derivative=1),
                      -100.0, FAR),
}  # fmt: skip
