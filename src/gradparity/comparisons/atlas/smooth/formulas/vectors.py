"""Norms, softmaxes and their losses: functions of a short vector, which one number moves.

Each has a hand-written value and the gradient of a fixed linear functional of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["LABEL", "PATTERN", "VECTORS", "WEIGHTS", "VectorFormula"]

#: The vector is this pattern plus the parameter, or times it; exact in every format.
PATTERN = (1.0, -0.5, 0.25, 2.0, -1.75, 0.75, -2.0, 0.5,
           1.5, -1.0, -0.25, 1.25, -1.5, 1.75, -1.25, 0.125)  # fmt: skip
#: The linear functional of results that are vectors.
WEIGHTS = (0.5, 1.0, -0.75, 0.25, 1.5, -1.0, 0.75, -0.25,
           2.0, -0.5, 1.25, -1.5, 0.375, -0.625, 1.75, -2.0)  # fmt: skip
#: The class of cross-entropies.
LABEL = 2
EPS = "1e-5"
Vector = Sequence[Any]


class VectorFormula(NamedTuple):
    """A function of a vector.

    Attributes
    ----------
    value : of a context of mpmath and a vector of it, to a list; of one number for a scalar.
    gradient : of the linear functional of the value; of the value itself for a scalar.
    shifted : whether the parameter is the mean of a vector of deviation 1, and not its spread.
    """

    value: Callable[[Any, Vector], list[Any]]
    gradient: Callable[[Any, Vector], list[Any]]
    shifted: bool


def _mean(v: Vector) -> Any:
    return sum(v) / len(v)


def _dot(v: Vector, w: Vector) -> Any:
    return sum(a * b for a, b in zip(v, w, strict=True))


def _centred(v: Vector) -> list[Any]:
    mean = _mean(v)
    return [x - mean for x in v]


def _norm(m: Any, v: Vector) -> Any:
    return m.sqrt(_dot(v, v))


def _log_sum(m: Any, v: Vector) -> Any:
    top = max(v)
    return top + m.log(sum(m.exp(x - top) for x in v))


def _softmax(m: Any, v: Vector) -> list[Any]:
    log_sum = _log_sum(m, v)
    return [m.exp(x - log_sum) for x in v]


def _softmax_gradient(m: Any, v: Vector) -> list[Any]:
    s = _softmax(m, v)
    middle = _dot(s, WEIGHTS)
    return [p * (w - middle) for p, w in zip(s, WEIGHTS, strict=True)]


def _softmin(m: Any, v: Vector) -> list[Any]:
    return _softmax(m, [-x for x in v])


def _softmin_gradient(m: Any, v: Vector) -> list[Any]:
    return [-g for g in _softmax_gradient(m, [-x for x in v])]


def _log_softmax(m: Any, v: Vector) -> list[Any]:
    log_sum = _log_sum(m, v)
    return [x - log_sum for x in v]


def _log_softmax_gradient(m: Any, v: Vector) -> list[Any]:
    return [w - p * sum(WEIGHTS) for p, w in zip(_softmax(m, v), WEIGHTS, strict=True)]


def _cross_entropy_gradient(m: Any, v: Vector) -> list[Any]:
    others = sum(p for i, p in enumerate(_softmax(m, v)) if i != LABEL)
    return [-others if i == LABEL else p for i, p in enumerate(_softmax(m, v))]


def _scaled(m: Any, d: Vector) -> tuple[Any, list[Any]]:
    """The inverse root of the mean square and EPS, and the vector times it."""
    r = 1 / m.sqrt(_mean([x * x for x in d]) + m.mpf(EPS))
    return r, [x * r for x in d]


def _norm_gradient(m: Any, d: Vector, weights: Vector) -> list[Any]:
    r, y = _scaled(m, d)
    part = _mean([a * b for a, b in zip(weights, y, strict=True)])
    return [r * (w - a * part) for w, a in zip(weights, y, strict=True)]


def _variance(correction: int, root: bool) -> VectorFormula:
    def value(m: Any, v: Vector) -> list[Any]:
        d = _centred(v)
        found = _dot(d, d) / (len(v) - correction)
        return [m.sqrt(found) if root else found]

    def gradient(m: Any, v: Vector) -> list[Any]:
        scale = 1 / value(m, v)[0] if root else 2
        return [scale * x / (len(v) - correction) for x in _centred(v)]

    return VectorFormula(value, gradient, True)


def _unit_gradient(m: Any, v: Vector) -> list[Any]:
    size = _norm(m, v)
    along = _dot(v, WEIGHTS) / size**2
    return [(w - x * along) / size for x, w in zip(v, WEIGHTS, strict=True)]


def _cosine_gradient(m: Any, v: Vector) -> list[Any]:
    far = m.sqrt(_dot(WEIGHTS, WEIGHTS))
    return [x / far for x in _unit_gradient(m, v)]


VECTORS = {
    "softmax": VectorFormula(_softmax, _softmax_gradient, False),
    "softmin": VectorFormula(_softmin, _softmin_gradient, False),
    "logsoftmax": VectorFormula(_log_softmax, _log_softmax_gradient, False),
    "logsumexp": VectorFormula(lambda m, v: [_log_sum(m, v)], _softmax, False),
    "logmeanexp": VectorFormula(lambda m, v: [_log_sum(m, v) - m.log(len(v))], _softmax, False),
    "crossentropy": VectorFormula(lambda m, v: [_log_sum(m, v) - v[LABEL]],
                                  _cross_entropy_gradient, False),
    "norm": VectorFormula(lambda m, v: [_norm(m, v)],
                          lambda m, v: [x / _norm(m, v) for x in v], False),
    "normalize": VectorFormula(lambda m, v: [x / _norm(m, v) for x in v], _unit_gradient, False),
    "cosine": VectorFormula(lambda m, v: [_dot(v, WEIGHTS) / _norm(m, v)
                                          / m.sqrt(_dot(WEIGHTS, WEIGHTS))],
                            _cosine_gradient, False),
    "var": _variance(0, False),
    "std": _variance(0, True),
    "var1": _variance(1, False),
    "std1": _variance(1, True),
    "layernorm": VectorFormula(lambda m, v: _scaled(m, _centred(v))[1],
                               lambda m, v: _norm_gradient(m, _centred(v), _centred(WEIGHTS)),
                               True),
    "rmsnorm": VectorFormula(lambda m, v: _scaled(m, v)[1],
                             lambda m, v: _norm_gradient(m, v, WEIGHTS), True),
}  # fmt: skip
