"""Single elements of a quantity: which are furthest beyond their bound, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray

__all__ = ["Element", "furthest", "in_units", "side_by_side"]

#: Elements told of a quantity that is wrong.
TOLD = 5


@dataclass(frozen=True)
class Element:
    """One element of a quantity.

    Attributes
    ----------
    index : its place.
    got, expected : what was there, and what belongs there.
    error, bound : how far off it is and how far it may be, in u as in `Finding`.
    """

    index: tuple[int, ...]
    got: float
    expected: float
    error: float
    bound: float


def furthest(
    got: NDArray, want: NDArray, error: Array, bound: Array, outside: Array, unit: float
) -> tuple[Element, ...]:
    """The elements outside their bound, those furthest beyond it first; all of shape (T, D) or so.

    `unit` is 1 u of this tensor, in which `error` and `bound` are then given.
    """
    if not outside.any():
        return ()
    error, bound, outside = (np.broadcast_to(a, got.shape) for a in (error, bound, outside))
    at = np.argwhere(outside)
    with np.errstate(all="ignore"):
        beyond = error[outside] / np.maximum(bound[outside], 5e-324)
    order = np.argsort(-np.where(np.isnan(beyond), np.inf, beyond), kind="stable")
    indices = [tuple(map(int, at[i])) for i in order[:TOLD]]
    return tuple(
        Element(
            i, float(got[i]), float(want[i]), in_units(error[i], unit), in_units(bound[i], unit)
        )
        for i in indices
    )


def in_units(x: float, unit: float) -> float:
    """A difference in u; infinite where the tensor has no size to measure it by."""
    if x == 0.0:
        return 0.0
    return float(x) / float(unit) if unit > 0.0 else float("inf")


def side_by_side(got: float, expected: float) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see the difference, nine at least.

    >>> side_by_side(1.0, 1.0 + 1e-12)
    ('1', '1.000000000001')
    """
    apart = abs(got - expected) / max(abs(got), abs(expected), 5e-324)
    digits = 2 - math.floor(math.log10(apart)) if 0 < apart < math.inf else 9
    return tuple(f"{x:.{min(max(digits, 9), 17)}g}" for x in (got, expected))  # type: ignore[return-value]
