"""Losses of one sample, as functions of the prediction; the other arguments are numbers."""

from __future__ import annotations

from typing import Any

from .activations import log_sigmoid, log_sum, sigmoid
from .formula import Formula, smooth

__all__ = ["LOSSES"]


def _cross_entropy(target: str) -> Formula:
    """Binary cross-entropy of a logit."""

    def value(m: Any, x: Any) -> Any:
        t = m.mpf(target)
        return t * log_sum(m, -x) + (1 - t) * log_sum(m, x)

    def slope(m: Any, x: Any) -> Any:
        t = m.mpf(target)
        return (1 - t) * sigmoid(m, x) - t * sigmoid(m, -x)

    return smooth(value, slope)


def _hinge(end: int, x: Any) -> Any:
    return max(end - x, 0)


def _log_cosh(m: Any, x: Any) -> Any:
    a = abs(x)
    if a < 1:
        return m.log1p(2 * m.sinh(a / 2) ** 2)
    return a + m.log1p(m.exp(-2 * a)) - m.log(2)


def _clipped(m: Any, x: Any) -> Any:
    return max(-1, min(x, m.mpf(1)))


def _huber(m: Any, x: Any) -> Any:
    return x * x / 2 if abs(x) < 1 else abs(x) - m.mpf(1) / 2


def _focal(m: Any, x: Any) -> Any:
    return -(sigmoid(m, -x) ** 2) * log_sigmoid(m, x)


def _focal_slope(m: Any, x: Any) -> Any:
    q = sigmoid(m, -x)
    return 2 * q**2 * sigmoid(m, x) * log_sigmoid(m, x) - q**3


LOSSES = {
    "bcewithlogits(x, 1)": _cross_entropy("1"),
    "bcewithlogits(x, 0)": _cross_entropy("0"),
    "bcewithlogits(x, 0.5)": _cross_entropy("0.5"),
    "bce(x, 1)": Formula(lambda m, x: -m.log(x), lambda m, x: -1 / x, 0, 1),
    "bce(x, 0)": Formula(lambda m, x: -m.log1p(-x), lambda m, x: 1 / (1 - x), 0, 1),
    "softmargin(x, 1)": smooth(lambda m, x: log_sum(m, -x), lambda m, x: -sigmoid(m, -x)),
    "mse(x, 0)": smooth(lambda m, x: x * x, lambda m, x: 2 * x),
    "mse(x, 1)": smooth(lambda m, x: (x - 1) ** 2, lambda m, x: 2 * (x - 1)),
    "l2(x, 0)": smooth(lambda m, x: x * x / 2, lambda m, x: x),
    "l1(x, 0)": Formula(lambda m, x: abs(x), lambda m, x: m.sign(x), kinks=(0.0,)),
    "hinge(x, 1)": Formula(lambda m, x: _hinge(1, x), lambda m, x: -int(x < 1), kinks=(1.0,)),
    "hingeembedding(x, -1)": Formula(lambda m, x: _hinge(1, x), lambda m, x: -int(x < 1),
                                     kinks=(1.0,)),
    "perceptron(x, 1)": Formula(lambda m, x: _hinge(0, x), lambda m, x: -int(x < 0),
                                kinks=(0.0,)),
    "huber(x, 1)": smooth(lambda m, x: _huber(m, x - 1), lambda m, x: _clipped(m, x - 1)),
    "huber(x, 0)": smooth(_huber, _clipped),
    "smoothl1(x, 0)": smooth(_huber, _clipped),
    "logcosh(x, 0)": smooth(_log_cosh, lambda m, x: m.tanh(x)),
    "poissonnll(x, 2)": smooth(lambda m, x: m.exp(x) - 2 * x, lambda m, x: m.expm1(x) - 1),
    "kldivergence(x, 0.5)": smooth(lambda m, x: (m.log(0.5) - x) / 2, lambda m, x: -m.mpf(1) / 2),
    "gaussiannll(x, 0, 1)": smooth(lambda m, x: x * x / 2, lambda m, x: x),
    "gaussiannll(1, 0, x)": Formula(lambda m, x: (m.log(x) + 1 / x) / 2,
                                    lambda m, x: (x - 1) / (2 * x * x), 1e-5),
    "sigmoidfocal(x, 1)": smooth(_focal, _focal_slope),
}  # fmt: skip
