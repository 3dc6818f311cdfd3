"""The vectors at which norms and softmaxes are measured, the true results, and what is unsure."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ....core.arithmetic.precision import Precision
from .formulas.vectors import PATTERN, VECTORS
from .truth import AGREE, Truth, _as_two, contexts

__all__ = ["movable", "parameters", "rows", "vector_truth"]


def parameters(name: str, dtype: str) -> Any:
    """Means over deviations, or spreads: two per decade, where the vector does not overflow."""
    first, last = (0, 32) if VECTORS[name].shifted else (-20, 20)
    x = 10.0 ** (np.arange(first, last + 1) / 2)
    precision = Precision.of(dtype)
    return x[(x < precision.largest / 8) & (x > 64 * precision.tiny)]


def rows(name: str, dtype: str) -> Any:
    """The vectors for these parameters, rounded to the format."""
    x, pattern = parameters(name, dtype)[:, None], np.array(PATTERN)
    exact = x + pattern if VECTORS[name].shifted else x * pattern
    return np.asarray(Precision.of(dtype).round(exact), np.float64)


def vector_truth(name: str, quantity: str, v: Any) -> Truth:
    """The true value or gradient of each vector, in rows; NaN where there is none."""
    pairs = [_known(name, quantity, tuple(map(float, row))) for row in v]
    found = np.array(pairs, np.float64)
    return Truth(found[..., 0], found[..., 1])


@cache
def _known(name: str, quantity: str, v: tuple[float, ...]) -> list[tuple[float, float]]:
    formula, last = VECTORS[name], None
    function = formula.value if quantity == "value" else formula.gradient
    for m in contexts():
        try:
            found = [m.mpf(y) for y in function(m, [m.mpf(x) for x in v])]
        except (ArithmeticError, ValueError):  # a deviation of 0
            return [(np.nan, np.nan)] * len(v)
        if last and all(
            abs(a - b) <= abs(a) * m.mpf(AGREE) for a, b in zip(found, last, strict=True)
        ):
            break
        last = found
    return [_as_two(y) for y in found]


def movable(name: str, quantity: str, v: Any, precision: Precision, places: int = 1) -> Any:
    """The distances that results of one vector move when each element moves by its last places."""
    true = vector_truth(name, quantity, [v]).nearest[0]
    moved = np.repeat(v[None], len(v), axis=0)
    moved[np.diag_indices(len(v))] *= 1 + 2 * places * precision.unit
    near = vector_truth(name, quantity, moved).nearest
    with np.errstate(invalid="ignore"):
        return np.sum(np.abs(near - true), axis=0)
