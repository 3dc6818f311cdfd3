"""Digits lost by results, against the truth."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ....core.arithmetic.precision import Precision
from .truth import Truth

__all__ = ["Errors", "digits_of", "errors", "threshold"]

#: The most digits that may be lost before a region is reported, for formats that have many.
LOST = 3.0


class Errors(NamedTuple):
    """For each result: the error in units in the last place of the truth, and the digits lost.

    NaN where nothing is asked; infinite where one of result and truth is finite and the other
    is not.
    """

    ulps: Any
    lost: Any


def digits_of(precision: Precision) -> float:
    """The decimal digits of a format."""
    return -math.log10(precision.unit)


def threshold(precision: Precision) -> float:
    """The least loss in digits that puts a number into a region: three, or half of all digits."""
    return min(LOST, digits_of(precision) / 2)


def errors(got: Any, truth: Truth, precision: Precision) -> Errors:
    """Compare results with the truth, in the units of a format.

    A number below the format's smallest normal one may become 0, where hardware flushes it.  What
    overflows must be infinite or huge, with the right sign.

    >>> one = Truth(np.array([1.0]), np.array([0.0]))
    >>> found = errors(np.array([1 + 2.0**-20]), one, Precision.of("float32"))
    >>> found.ulps.tolist(), found.lost.round(1).tolist()
    ([8.0], [1.2])
    """
    size = np.abs(truth.nearest)
    with np.errstate(all="ignore"):
        exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))[1]
        unit = np.maximum(np.ldexp(1.0, exponent - precision.digits), _smallest(precision))
        unit = np.where(size < precision.tiny, 2 * precision.tiny, unit)
        ulps = np.abs((got - truth.nearest) - truth.rest) / unit
        lost = np.clip(np.log10(2 * ulps), 0.0, digits_of(precision))
    over = size > precision.largest
    huge = (np.abs(got) >= precision.largest / 2) & (np.sign(got) == np.sign(truth.nearest))
    wrong = np.where(over, ~huge, ~np.isfinite(got) & ~_almost(size, precision))
    right = over & huge | ~over & ~np.isfinite(got) & ~wrong
    ulps, lost = (np.where(wrong, np.inf, np.where(right, 0.0, each)) for each in (ulps, lost))
    asked = ~np.isnan(truth.nearest)
    return Errors(np.where(asked, ulps, np.nan), np.where(asked, lost, np.nan))


def _smallest(precision: Precision) -> float:
    """The smallest positive number of a format."""
    if precision.name == "float64":
        return 2.0**-1074
    return precision.tiny * (1.0 if precision.name == "float16" else 2 * precision.unit)


def _almost(size: Any, precision: Precision) -> Any:
    """Whether a few roundings bring a number to overflow."""
    return size > precision.largest * (1 - 16 * precision.unit)
