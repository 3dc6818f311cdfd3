"""The numbers that elementwise ops are tested at: special ones, and the whole range of a dtype."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import PRECISIONS, Precision

__all__ = ["POINTS", "whole_range"]

#: Points every scalar activation is evaluated at: zeros of both signs, kinks, saturation.
POINTS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-3, -1e-3, 20.0, -20.0, 20.5, 40.0, -40.0, 90.0,
          -90.0, 300.0, -300.0, 1e-30, -1e-30, 2.0, -2.0, 5.5, -5.5, 11.0)  # fmt: skip
#: Decades in which faults of activations lie, and how many points each has there.
DENSE, PER_DECADE = range(-8, 3), 10
#: Up to here points are at most STEP apart, and up to WHOLE every whole number is one.
NEAR, STEP, WHOLE = 12, 1 / 16, 64
#: Relative distances from a threshold.
SIDES = (-(2.0**-7), -(2.0**-10), 0.0, 2.0**-10, 2.0**-7)


def whole_range(precision: Precision, largest: float = math.inf) -> NDArray:
    """Points of both signs from the smallest normal number to near the largest, in rising order.

    They are log-spaced (dense where activations bend), evenly spaced near zero, and on both sides
    of every threshold of the dtype and of float64 and float32.  All are numbers of the dtype, with
    zeros of both signs and the smallest subnormal, which XLA flushes to zero.

    Parameters
    ----------
    precision : the number format.
    largest : no point is larger; by default nearly the largest number of the dtype.

    >>> z = whole_range(PRECISIONS["float32"])
    >>> bool(np.diff(z[np.abs(z) < 12]).max() <= 1 / 16), 2.0**24 in z, 2.0**-126 in z
    (True, True, True)
    """
    found = [*_log_spaced(precision), *np.arange(0.0, NEAR, STEP), *range(WHOLE + 1)]
    for each in {p.name: p for p in (PRECISIONS["float64"], PRECISIONS["float32"], precision)}:
        found += [t * (1 + side) for t in _thresholds(PRECISIONS[each]) for side in SIDES]
    for digits in (24, 53):
        found += [2.0**digits - 1, 2.0**digits, 2.0**digits + 1, 2.0**digits + 2]
    found.append(float(np.finfo(precision.dtype).smallest_subnormal))
    sizes = np.abs(np.array(found))
    sizes = sizes[sizes <= min(largest, precision.largest / 2)]
    z = np.unique(np.asarray(precision.round(sizes), np.float64))
    return np.concatenate([-z[::-1], z])


def _log_spaced(precision: Precision) -> Iterator[float]:
    lowest = math.ceil(math.log10(precision.tiny))
    yield precision.tiny
    for decade in range(lowest, math.floor(math.log10(precision.largest)) + 1):
        n = PER_DECADE if decade in DENSE else 1
        yield from (10.0 ** (decade + k / n) for k in range(n))
    yield precision.largest / 2


def _thresholds(p: Precision) -> Iterator[float]:
    """Sizes at which exponentials over- or underflow, functions saturate and powers overflow."""
    smallest = float(np.finfo(p.dtype).smallest_subnormal)
    exponents = [math.log(p.largest), -math.log(p.tiny), -math.log(smallest)]
    saturated = p.digits * math.log(2.0)  # where 1 + e^-z is 1
    for t in (*exponents, saturated):
        yield from (t, t / 2, math.sqrt(2 * t))  # of e^z, of tanh, of e^(-z^2 / 2)
    yield from (math.sqrt(p.largest), p.largest ** (1 / 3))
