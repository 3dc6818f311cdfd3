"""Functions of several numbers, as functions of one of them; the others are plain numbers."""

from __future__ import annotations

from typing import Any

from .activations import log_sum, sigmoid
from .formula import Formula, Function, smooth

__all__ = ["SEVERAL"]


def _distance(m: Any, x: Any, across: Any) -> Any:
    return m.sqrt(x * x + across * across)


def _pairwise(m: Any, x: Any) -> tuple[Any, Any]:
    """PyTorch's distance of (x, 1) from (0, 0), which adds 1e-6 to both; and its slope."""
    e = m.mpf("1e-6")
    far = _distance(m, x + e, 1 + e)
    return far, (x + e) / far


def _triplet(shift: str, inside: str) -> Formula:
    """The loss of the anchor (x, 0), the positive (0, 3) and the negative (0, 1), margin 1.

    `shift`, `inside` : what is added to each difference, and to the sum of their squares.
    """

    def distances(m: Any, x: Any) -> tuple[Any, Any, Any]:
        e, more = m.mpf(shift), m.mpf(inside)
        far, near = (m.sqrt((x + e) ** 2 + (c - e) ** 2 + more) for c in (3, 1))
        return far, near, ((3 - e) ** 2 - (1 - e) ** 2) / (far + near)

    def slope(m: Any, x: Any) -> Any:
        far, near, difference = distances(m, x)
        return -(x + m.mpf(shift)) * difference / (far * near)

    return smooth(lambda m, x: distances(m, x)[2] + 1, slope)


def _cosine(m: Any, x: Any, more: str) -> tuple[Any, Any]:
    """The cosine of (x, 1) and (1, 0), and its slope; `more` is added to both squares."""
    e = m.mpf(more)
    square = x * x + 1 + e
    return x / m.sqrt(square * (1 + e)), m.sqrt(1 + e) / square ** m.mpf(1.5)


def _cosine_distance(more: str) -> Formula:
    return smooth(lambda m, x: 1 - _cosine(m, x, more)[0], lambda m, x: -_cosine(m, x, more)[1])


def _positive(part: int) -> Function:
    return lambda m, x: _cosine(m, x, "1e-12")[part] if x > 0 else m.mpf(0)


def _response(m: Any, x: Any, power: float) -> Any:
    return (1 + x * x / 10000) ** m.mpf(power)


def _above(x: Any, end: int = 1) -> Any:
    return max(end - x, 0)


SEVERAL = {
    "glu(x, 1)": smooth(lambda m, x: x * sigmoid(m, m.mpf(1)), lambda m, x: sigmoid(m, m.mpf(1))),
    "multimargin(x, 0)": Formula(lambda m, x: m.mpf(_above(x)) / 2, lambda m, x: -m.mpf(x < 1) / 2,
                                 kinks=(1.0,)),
    "marginranking(x, 0, -1)": Formula(lambda m, x: max(x, 0), lambda m, x: int(x > 0),
                                       kinks=(0.0,)),
    "pairwisedistance": smooth(lambda m, x: _pairwise(m, x)[0], lambda m, x: _pairwise(m, x)[1]),
    "tripletmargin": _triplet("1e-6", "0"),
    "tripletmarginsquares": _triplet("0", "1e-6"),
    "cosineembedding(x, 1)": _cosine_distance("1e-12"),
    "cosineembedding(x, -1)": Formula(_positive(0), _positive(1), kinks=(0.0,)),
    "cosinedistance": _cosine_distance("0"),
    "localresponsenorm": smooth(lambda m, x: x * _response(m, x, -0.75),
                                lambda m, x: (1 - x * x / 20000) * _response(m, x, -1.75)),
    "polycrossentropy": smooth(lambda m, x: log_sum(m, -x) + 2 * sigmoid(m, -x),
                               lambda m, x: -sigmoid(m, -x) * (1 + 2 * sigmoid(m, x))),
    "generalizedkldivergence(x, 0.5)": smooth(lambda m, x: m.exp(x) - (1 + m.log(2) + x) / 2,
                                              lambda m, x: m.exp(x) - m.mpf(1) / 2),
    "kldivergencelogtarget(0, x)": smooth(lambda m, x: x * m.exp(x),
                                          lambda m, x: (1 + x) * m.exp(x)),
    "squaredhinge(x, 1)": smooth(lambda m, x: _above(x) ** 2, lambda m, x: -2 * _above(x)),
    "squaredlogarithmic(x, 1)": Formula(lambda m, x: m.log((1 + x) / 2) ** 2,
                                        lambda m, x: 2 * m.log((1 + x) / 2) / (1 + x), 1e-6),
    "percentage(x, 2)": Formula(lambda m, x: 50 * abs(x - 2), lambda m, x: 50 * m.sign(x - 2),
                                kinks=(2.0,)),
    "boxcox(x, 0.5)": Formula(lambda m, x: 2 * (m.sqrt(x) - 1), lambda m, x: 1 / m.sqrt(x), 0),
    "boxcox1p(x, 0.5)": Formula(lambda m, x: 2 * m.expm1(m.log1p(x) / 2),
                                lambda m, x: 1 / m.sqrt(1 + x), -1),
    "poch(x, 2)": Formula(lambda m, x: x * (x + 1), lambda m, x: 2 * x + 1, 0),
}  # fmt: skip
