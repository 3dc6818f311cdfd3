"""Singular points and the gradients that are valid there: mathematics, common to all frameworks.

A valid set holds the limits of the gradients near the point, and what lies between them.  A
function that is only defined on one side has one limit; -0 is the same number as 0.
"""

from __future__ import annotations

from math import inf, nan, sqrt

from .valid_sets import Ball, Box, Singular, Unjudged, ValidSet

__all__ = ["SINGULAR", "exactly", "shares"]

Z = (0.0, -0.0)
UNKNOWN = Unjudged("the function's value is NaN here or beside it")


def exactly(*gradient: float) -> Box:
    """One valid gradient.

    >>> print(exactly(0.0, 1.0))
    0 1
    """
    return Box(gradient, gradient)


def shares(*largest: float, total: tuple[float, float] = (1.0, 1.0)) -> Box:
    """Weights from zero to these, with a limited sum."""
    return Box((0.0,) * len(largest), largest, total)


def _at(valid: ValidSet, *points: float) -> Singular:
    return tuple(((point,), valid) for point in points)


def _ends(right: float, left: float) -> Singular:
    """Slopes at both infinities; a NaN comes with them."""
    right_, left_ = _at(exactly(right), inf), _at(exactly(left), -inf)
    return right_ + left_ + _at(UNKNOWN, nan)


def _row(valid: ValidSet, *point: float) -> Singular:
    return ((point, valid),)


def _zero(valid: ValidSet) -> Singular:
    return _row(valid, 0.0, 0.0, 0.0)


_NOT_NAN = Box((-inf,), (inf,))
_MASKED = Box((-0.25, -0.25, -0.25), (0.25, 0.25, 0.25), (0.0, 0.0))

SINGULAR: dict[str, Singular] = {
    # Numbers at which the slope is infinite, or the formula 0 * inf or 0 / 0.
    "to inf": _at(exactly(inf), *Z),
    "to inf at 1": _at(exactly(inf), 1.0),
    "to inf at -1": _at(exactly(inf), -1.0),
    "to inf at both ones": _at(exactly(inf), -1.0, 1.0),
    "to inf at 0 and 1": _at(exactly(inf), *Z, 1.0),
    "to -inf": _at(exactly(-inf), *Z),
    "to -inf at both ones": _at(exactly(-inf), -1.0, 1.0),
    "cusp": _at(_NOT_NAN, *Z),
    "flat at 0": _at(exactly(0.0), *Z),
    "one at 0": _at(exactly(1.0), *Z),
    "half at 0": _at(exactly(0.5), *Z),
    "log 2 at 0": _at(exactly(0.6931471805599453), *Z),
    "flat at -1": _at(exactly(0.0), -1.0),
    "flat at 1000": _at(exactly(0.0), 1000.0),
    "flat at 2": _at(exactly(0.0), 2.0),
    "one at 1000": _at(exactly(1.0), 1000.0),
    "one at -1000": _at(exactly(1.0), -1000.0),
    "square": _at(exactly(0.0), *Z) + _at(exactly(-2.0), -1.0),
    "cube": _at(exactly(0.0), *Z) + _at(exactly(3.0), -1.0),
    "power zero": _at(exactly(0.0), *Z, -1.0),
    "power one": _at(exactly(1.0), *Z, -1.0),
    "zero to the z": _at(exactly(0.0), *Z, 0.5, 1.0, 2.0),
    "negative to the z": _at(UNKNOWN, 0.0, 1.0, 2.0),
    # Both infinities.
    "gate": _ends(1.0, 0.0),
    "flat": _ends(0.0, 0.0),
    "gate down": _ends(0.0, 1.0),
    "leak": _ends(1.0, 0.01),
    "selu": _ends(1.0507009873554805, 0.0),
    "abs": _ends(1.0, -1.0),
    "square at inf": _ends(inf, -inf),
    "exp": _ends(inf, 0.0),
    "flat at inf": _at(exactly(0.0), inf) + _at(UNKNOWN, nan),
    # Saturated losses.
    "logits of 0": _at(exactly(1.0), 1e4, inf) + _at(exactly(0.0), -1e4, -inf),
    "logits of 1": _at(exactly(0.0), 1e4, inf) + _at(exactly(-1.0), -1e4, -inf),
    # The documented clamp of the logarithm makes any slope to 0 valid where it acts.
    "probability of 0": _at(exactly(1.0), *Z) + _at(Box((0.0,), (inf,)), 1.0),
    "probability of 1": _at(exactly(-1.0), 1.0) + _at(Box((-inf,), (0.0,)), *Z),
    "no target": _at(exactly(0.0), -1.0, -1e4, -inf),
    # Rows.
    "norm 1": _zero(Ball(inf)) + _row(Box((1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), 1.0, 0.0, 0.0),
    "norm 2": _zero(Ball(2.0)),
    "norm inf": _zero(Ball(1.0)) + _row(shares(1.0, 1.0, 0.0), 1.0, 1.0, 0.0),
    "norm 3": _zero(Ball(1.5)),
    "norm 1.5": _zero(Ball(3.0)),
    "norm squared": _zero(exactly(0.0, 0.0, 0.0)),
    "normalised": _zero(exactly(1e12, 1e12, 1e12)),
    "cosine": _zero(exactly(*[1e8 / sqrt(3)] * 3)),
    "equal, std": tuple((p, Ball(2.0, sqrt(0.5), 0.0)) for p in ((0.0,) * 3, (1.0,) * 3)),
    "equal, population std": tuple(
        (p, Ball(2.0, sqrt(1 / 3), 0.0)) for p in ((0.0,) * 3, (1.0,) * 3)
    ),
    "equal, var": tuple((p, exactly(0.0, 0.0, 0.0)) for p in ((0.0,) * 3, (1.0,) * 3)),
    "hypot": _row(Ball(2.0), 0.0, 0.0),
    "atan2": _row(Box((-inf, -inf), (inf, inf)), 0.0, 0.0),
    "prod": (
        *_row(exactly(6.0, 0.0, 0.0), 0.0, 2.0, 3.0),
        *_row(exactly(0.0, 0.0, 0.0), 0.0, 0.0, 3.0),
        *_row(exactly(0.0, 0.0, 0.0), 0.0, 0.0, 0.0),
    ),
    "cumprod": (
        *_row(exactly(9.0, 0.0, 0.0), 0.0, 2.0, 3.0),
        *_row(exactly(1.0, 8.0, 0.0), 2.0, 0.0, 3.0),
        *_row(exactly(1.0, 0.0, 0.0), 0.0, 0.0, 3.0),
        *_row(exactly(1.0, 2.0, 0.0), 2.0, 0.0, 0.0),
    ),
    "det": (
        *_row(exactly(0.0, 0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0),
        *_row(exactly(1.0, -1.0, -1.0, 1.0), 1.0, 1.0, 1.0, 1.0),
    ),
    "first two": (
        *_row(shares(1.0, 1.0, 1.0, total=(2.0, 2.0)), 1.0, 1.0, 1.0),
        *_row(Box((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2.0, 2.0)), 2.0, 1.0, 1.0),
    ),
    "all sorted": _row(exactly(1.0, 1.0, 1.0), 1.0, 1.0, 1.0),
    "running maximum": (
        *_row(Box((1.0, 0.0, 0.0), (3.0, 2.0, 1.0), (3.0, 3.0)), 1.0, 1.0, 1.0),
        *_row(Box((1.0, 0.0, 0.0), (3.0, 2.0, 0.0), (3.0, 3.0)), 1.0, 1.0, 0.0),
    ),
    "overlapping": (
        *_row(shares(1.0, 2.0, 1.0, total=(2.0, 2.0)), 1.0, 1.0, 1.0),
        *_row(Box((0.0, 1.0, 0.0), (1.0, 2.0, 0.0), (2.0, 2.0)), 1.0, 1.0, 0.0),
    ),
    "largest": (
        *_row(shares(1.0, 1.0, 0.0), inf, inf, 0.0),
        *_row(shares(1.0, 1.0, 1.0), -inf, -inf, -inf),
        *_row(UNKNOWN, nan, 1.0, 0.0),
    ),
    "softmax": (
        *_row(exactly(0.0, 0.0, 0.0), -inf, 0.0, 0.0),
        *_row(exactly(0.25, 0.0, -0.25), 0.0, -inf, 0.0),
        *_row(exactly(0.0, 0.0, 0.0), 0.0, -inf, -inf),
        *_row(exactly(0.0, 0.0, 0.0), 1e4, -1e4, 0.0),
        *_row(exactly(0.0, 0.0, 0.0), inf, 0.0, 0.0),
        *_row(_MASKED, -inf, -inf, -inf),
    ),
    "log_softmax": (
        *_row(exactly(1.0, -0.5, -0.5), -inf, 0.0, 0.0),
        *_row(exactly(0.5, 0.0, -0.5), 0.0, -inf, 0.0),
        *_row(exactly(0.0, 0.0, 0.0), 1e4, -1e4, 0.0),
        *_row(exactly(1.0, -1.0, 0.0), -1e4, 1e4, 0.0),
        *_row(Box((0.0, -1.0, -1.0), (1.0, 0.0, 0.0), (0.0, 0.0)), -inf, -inf, -inf),
    ),
    "cross_entropy": (
        *_row(exactly(-0.5, 0.0, 0.5), 0.0, -inf, 0.0),
        *_row(exactly(0.0, 0.0, 0.0), 1e4, -1e4, 0.0),
        *_row(exactly(-1.0, 1.0, 0.0), -1e4, 1e4, 0.0),
    ),
    "logsumexp": (
        *_row(exactly(0.5, 0.0, 0.5), 0.0, -inf, 0.0),
        # Rounding the value, 1e4 in float32, moves weights that sum to one by 1e-3 / 2.
        *_row(Box((0.499, 0.499, 0.0), (0.501, 0.501, 0.0)), 1e4, 1e4, -1e4),
        *_row(exactly(1.0, 0.0, 0.0), inf, 0.0, 0.0),
        *_row(shares(1.0, 1.0, 0.0), inf, inf, 0.0),
        # A finite change of an element that is -inf changes nothing: 0 is valid too.
        *_row(shares(1.0, 1.0, 1.0, total=(0.0, 1.0)), -inf, -inf, -inf),
    ),
    "logaddexp": (
        *_row(exactly(1.0, 0.0), 0.0, -inf),
        *_row(shares(1.0, 1.0), inf, inf),
        *_row(shares(1.0, 1.0, total=(0.0, 1.0)), -inf, -inf),
    ),
    "fully masked": _row(exactly(0.0, 0.0, 0.0), 1.0, 2.0, 3.0),
    "multi margin": _row(
        Box((-2 / 3, 0.0, 0.0), (0.0, 1 / 3, 1 / 3), (0.0, 0.0)), 1.0, 0.0, 0.0
    ),
    # Segments of rows of three: elements 0 and 1, none, element 2.
    "segment maxima": _row(Box((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (2.0, 2.0)), 1.0, 1.0, 0.0),
    "segment sums": _row(exactly(1.0, 1.0, 1.0), 1.0, 1.0, 0.0),
    "segment means": _row(exactly(0.5, 0.5, 1.0), 1.0, 1.0, 0.0),
    "segment products": (
        *_row(exactly(2.0, 0.0, 1.0), 0.0, 2.0, 3.0),
        *_row(exactly(0.0, 0.0, 1.0), 0.0, 0.0, 3.0),
    ),
}  # fmt: skip
