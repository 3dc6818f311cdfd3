"""The numbers at which a function of one number is measured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....core.arithmetic.precision import Precision

__all__ = ["FORMATS", "points"]

#: The number formats that are measured.
FORMATS = ("float64", "float32", "bfloat16", "float16")
#: Numbers per decade between NEAR and FAR, and the number of decades per number elsewhere.
DENSE, SPARSE = 12, 4
NEAR, FAR = 1e-4, 1e3
#: Where implementations change their method, and where functions turn.
TURNS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 20.0, 30.0, 50.0, 88.0, 100.0, 128.0,
         300.0, 709.0, math.log(2), *(k * math.pi / 2 for k in (1, 2, 3, 4, 20)))  # fmt: skip


def points(dtype: str) -> Any:
    """The numbers of a format to measure at, sorted, as float64; both zeros are among them.

    >>> z = points("bfloat16")
    >>> bool((Precision.of("bfloat16").round(z) == z).all()), int((z == 0).sum())
    (True, 2)
    """
    precision = Precision.of(dtype)
    step = 2.0 * precision.unit
    tiny = float(np.finfo(np.float64 if dtype == "float64" else np.float32).tiny)
    smallest = 2.0**-14 if dtype == "float16" else tiny
    one = [1 + sign * 10.0**-k for k in range(1, 17) for sign in (-1, 1)]
    turns = [t * (1 + k * step) for t in TURNS for k in (-1, 0, 1)]
    below = [0.5 * smallest, 0.01 * smallest]
    with np.errstate(over="ignore"):
        spread = _spread(smallest, precision.largest)
        found = np.concatenate([spread, one, turns, _edges(precision), below])
        rounded = np.asarray(precision.round(found), np.float64)
    rounded = np.unique(rounded[np.isfinite(rounded) & (rounded > 0)])
    return np.concatenate([-rounded[::-1], [-0.0, 0.0], rounded])


def _spread(smallest: float, largest: float) -> Any:
    """Log-spaced numbers, dense where networks compute."""
    decades = math.log10(FAR / NEAR)
    far = round((math.log10(largest) - math.log10(smallest)) / SPARSE) + 2
    return np.concatenate(
        [
            np.geomspace(NEAR, min(FAR, largest), round(decades * DENSE) + 1),
            np.geomspace(smallest, largest, far),
        ]
    )


def _edges(precision: Precision) -> Any:
    """Numbers whose exponential, square or inverse is just in or out of the range."""
    tiny = precision.tiny
    edges = [math.log(precision.largest), -math.log(tiny), math.sqrt(precision.largest),
             math.sqrt(tiny), 1 / precision.largest, precision.unit, math.sqrt(precision.unit),
             -math.log(precision.unit), 1 / precision.unit]  # fmt: skip
    near = np.array([e * f for e in edges for f in (0.5, 0.98, 1.0, 1.02, 2.0)])
    return np.concatenate([near, [precision.largest]])
