"""Values and slopes with more digits than any number format has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ....core.arithmetic.precision import Precision
from .formulas.table import FORMULAS

__all__ = ["FORMULAS", "Truth", "contexts", "next_to_kink", "truth"]

#: Digits to compute with, one after the other until two results agree.
DIGITS = (50, 90, 400, 1200)
#: Two results agree when they differ by less than this part of them.
AGREE = "1e-25"
#: Beyond these powers of two a result over- or underflows in every format.
RANGE = 1100
#: Where there is no truth.
NOTHING = np.nan, np.nan


class Truth(NamedTuple):
    """Numbers as sums of two float64, the nearest one and the rest; NaN where there is no truth.

    Infinite where the number is larger than float64 holds.
    """

    nearest: Any
    rest: Any


def truth(
    name: str, quantity: str, at: Sequence[float], precision: Precision | None = None
) -> Truth:
    """The values ("value") or slopes ("derivative") of a function of `FORMULAS` at these numbers.

    `precision` : no slope is asked at numbers next to a kink in this format.

    >>> found = truth("exp", "value", [1.0])
    >>> found.nearest.tolist(), found.rest.tolist()
    ([2.718281828459045], [1.4456468917292502e-16])
    """
    pairs = [_known(name, quantity, float(x)) for x in at]
    if precision is not None and quantity == "derivative":
        beside = [next_to_kink(name, float(x), precision) for x in at]
        pairs = [NOTHING if b else each for each, b in zip(pairs, beside, strict=True)]
    nearest, rest = np.array(pairs, np.float64).reshape(-1, 2).T
    return Truth(nearest, rest)


def next_to_kink(name: str, x: float, precision: Precision) -> bool:
    """Whether a unit in the last place brings a number to a kink of a function.

    Its slope is ill-conditioned there: beyond the kink another one is right.

    >>> one = Precision.of("float32")
    >>> [next_to_kink("hardtanh", 1 + k * 2.0**-23, one) for k in (-1, 1, 2)]
    [True, True, False]
    """
    kinks = FORMULAS[name].kinks
    sizes = (max(abs(x), abs(kink)) for kink in kinks)
    units = (math.ldexp(1.0, math.frexp(size)[1] - precision.digits) for size in sizes)
    return any(abs(x - kink) <= unit for kink, unit in zip(kinks, units, strict=True))


@cache
def _known(name: str, quantity: str, x: float) -> tuple[float, float]:
    formula = FORMULAS[name]
    if not formula.low < x < formula.high or x in formula.kinks:
        return np.nan, np.nan
    function = formula.value if quantity == "value" else formula.slope
    every, last = contexts(), None
    for m in every:
        try:
            found = m.mpf(function(m, m.mpf(x)))
        except (ZeroDivisionError, ValueError, OverflowError, ArithmeticError, TypeError):
            return np.nan, np.nan  # a pole, or a number too large for mpmath
        if last and found and abs(found - last) <= abs(found) * m.mpf(AGREE):
            break
        last = found
    return _as_two(found)


def _as_two(found: Any) -> tuple[float, float]:
    m = found.context
    if m.isnan(found):
        return np.nan, np.nan
    if m.isinf(found) or (found and m.mag(found) > RANGE):
        return float("inf") if found > 0 else -float("inf"), 0.0
    if not found or m.mag(found) < -RANGE:
        return 0.0, 0.0
    nearest = float(found)
    return nearest, float(found - nearest) if np.isfinite(nearest) else 0.0


@cache
def contexts() -> list[Any]:
    """One context of mpmath for each number of digits."""
    try:
        import mpmath
    except ImportError:
        raise ImportError(
            'the true values need mpmath, which is missing; pip install "gradparity[atlas]"'
        ) from None
    made = []
    for digits in DIGITS:
        context = mpmath.MPContext()
        context.dps = digits
        made.append(context)
    return made
