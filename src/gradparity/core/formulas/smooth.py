"""Smooth functions that several ops are made of, in best and usual forms.

The best form is right to a few roundings in every element from the smallest number to the largest;
`usual` names the other forms that people write, and that lose digits somewhere (see
`gradparity.core.arithmetic.arrays.usual`).
"""

from __future__ import annotations

import numpy as np

from ..arithmetic.arrays import Array, usual

__all__ = [
    "exp_minus_1",
    "exp_slope",
    "sigmoid",
    "sigmoid_slope",
    "softplus",
    "softplus_slope",
    "stable_sigmoid",
    "tanh",
    "tanh_slope",
]


def stable_sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z), from e^-|z| so that nothing overflows."""
    t = np.exp(-abs(z))
    return np.where(z >= 0, 1 / (1 + t), t / (1 + t))


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z), with its usual forms."""
    return usual(
        stable_sigmoid(z),
        {
            "1 / (1 + e^-z)": lambda: 1 / (1 + np.exp(-z)),
            "e^z / (1 + e^z)": lambda: np.exp(z) / (1 + np.exp(z)),
            "(1 + tanh(z/2)) / 2": lambda: 0.5 * (1 + np.tanh(0.5 * z)),
        },
    )


def sigmoid_slope(z: Array, y: Array) -> Array:
    """y (1 - y), the slope of y = sigmoid(z); e^-|z| / (1 + e^-|z|)^2 where 1 - y cancels."""
    t = np.exp(-abs(z))
    tail = t / ((1 + t) * (1 + t))
    return usual(
        np.where(abs(y - 0.5) < 0.25, y * (1 - y), tail),
        {
            "y (1 - y)": lambda: y * (1 - y),
            "y - y^2": lambda: y - y * y,
            "e^-|z| / (1 + e^-|z|)^2": lambda: tail,
            "e^-z / (1 + e^-z)^2": lambda: np.exp(-z) / ((1 + np.exp(-z)) * (1 + np.exp(-z))),
        },
    )


def tanh(z: Array) -> Array:
    """The hyperbolic tangent."""
    return usual(
        np.tanh(z),
        {},
        {
            "(e^z - e^-z) / (e^z + e^-z)": lambda: _over_sum(np.exp(z), np.exp(-z)),
            "(1 - e^-2|z|) / (1 + e^-2|z|)": lambda: _signed(
                z, _over_sum(1, np.exp(-2.0 * abs(z)))
            ),
            "(e^2z - 1) / (e^2z + 1)": lambda: _over_sum(np.exp(2.0 * z), 1),
            "2 sigmoid(2z) - 1": lambda: 2.0 * stable_sigmoid(2.0 * z) - 1,
            "2 / (1 + e^-2z) - 1": lambda: 2.0 / (1 + np.exp(-2.0 * z)) - 1,
        },
    )


def tanh_slope(z: Array, y: Array) -> Array:
    """1 - y^2, the slope of y = tanh z; 4 e^-2|z| / (1 + e^-2|z|)^2 where it cancels."""
    t = np.exp(-2.0 * abs(z))
    tail = 4.0 * (t / ((1 + t) * (1 + t)))
    return usual(
        np.where(abs(y) < 0.75, 1 - y * y, tail),
        {
            "1 - y^2": lambda: 1 - y * y,
            "(1 - y) (1 + y)": lambda: (1 - y) * (1 + y),
            "1 / cosh(z)^2": lambda: tail,
        },
    )


def _over_sum(a: Array, b: Array) -> Array:
    """(a - b) / (a + b) for a, b > 0, where the error of the larger one counts once."""
    s = a + b
    return np.where(a >= b, 1 - 2.0 * (b / s), 2.0 * (a / s) - 1)


def _signed(z: Array, y: Array) -> Array:
    return np.where(z >= 0, y, -y)


def softplus(z: Array) -> Array:
    """log(1 + e^z) as max(z, 0) + log1p(e^-|z|)."""
    return usual(
        np.maximum(z, 0) + np.log1p(np.exp(-abs(z))),
        {
            "log(1 + e^z)": lambda: np.log(1 + np.exp(z)),
            "log1p(e^z)": lambda: np.log1p(np.exp(z)),
            "max(z, 0) + log(1 + e^-|z|)": lambda: np.maximum(z, 0) + np.log(1 + np.exp(-abs(z))),
        },
    )


def softplus_slope(z: Array) -> Array:
    """sigmoid(z), the slope of y = softplus(z)."""
    y = np.maximum(z, 0) + np.log1p(np.exp(-abs(z)))
    return usual(
        sigmoid(z),
        {"e^(z - y)": lambda: np.exp(z - y), "1 - e^-y": lambda: 1 - np.exp(-y)},
    )


def exp_minus_1(z: Array) -> Array:
    """e^z - 1 for z <= 0."""
    return usual(np.expm1(-abs(z)), {"e^z - 1": lambda: np.exp(-abs(z)) - 1})


def exp_slope(z: Array, y: Array, a: float) -> Array:
    """a e^z for z <= 0, the slope of y = a (e^z - 1)."""
    forms = {"y + a": lambda: y + a, "a (expm1(z) + 1)": lambda: a * (np.expm1(-abs(z)) + 1)}
    return usual(a * np.exp(-abs(z)), forms)
