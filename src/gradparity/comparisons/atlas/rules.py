"""Find the rule followed at a kink or a tie, and whether it is valid, from measurements alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...adapters.valid_sets import Unjudged, ValidSet

__all__ = ["set_rule", "slope_rule", "tie_rule"]

#: Relative difference of the values just beside a point above which the function jumps there.
JUMP = 1e-5
#: Maximum number of roundings between two computations of one slope.
ROUNDINGS = 32


def slope_rule(
    taken: tuple[float, ...],
    sides: Sequence[tuple[float, ...]],
    values: Sequence[float],
    dtype: str,
) -> dict[str, Any]:
    """The fields of an `Entry` for a kink of a function of one number.

    Parameters
    ----------
    taken : the slopes measured at the kink, usually one.
    sides : the slopes measured just left and just right of it.
    values : values of the function there.

    >>> slope_rule((0.5,), [(0.0,), (1.0,)], (0.0, 1e-18), "float32")["rule"]
    'half'
    """
    left, right = (side[0] if side else np.nan for side in sides)
    low, high = min(left, right), max(left, right)
    found: dict[str, Any] = {"taken": taken, "interval": (left, right)}
    if not np.isfinite([left, right]).all() or any(len(side) != 1 for side in sides):
        return {**found, "rule": "singular", "valid": None}
    found["interval"] = (low, high)
    if not abs(values[1] - values[0]) <= JUMP * max(1.0, *map(abs, values)):
        return {**found, "rule": "jump", "valid": None}
    near = ROUNDINGS * float(np.finfo(dtype).eps) * max(1.0, abs(low), abs(high))
    valid = all(low - near <= t <= high + near for t in taken)  # never for NaN
    names = {"left": left, "right": right, "half": (left + right) / 2}
    if not valid:
        rule = "outside"
    elif high - low <= near:
        rule = "smooth"
    else:
        exact = (n for n, s in names.items() if all(abs(t - s) <= near for t in taken))
        rule = next(exact, "between")
    return {**found, "rule": rule, "valid": valid}


def tie_rule(weights: Any, tied: Any, dtype: str) -> tuple[str, bool]:
    """The rule behind the weights (k,) of inputs, of which `tied` (k,) tie, and if it is valid.

    >>> tie_rule(np.array([0.5, 0.0, 0.5]), np.array([True, False, True]), "float32")
    ('even', True)
    >>> tie_rule(np.array([1.0, 1.0]), np.array([True, True]), "float32")
    ('all', False)
    """
    near = ROUNDINGS * float(np.finfo(dtype).eps)
    among, elsewhere = weights[tied], weights[~tied]
    n = among.size
    clean = bool(n and np.all(np.abs(elsewhere) <= near))
    rules = {
        "single": np.ones(1),
        "first": np.eye(n or 1)[0],
        "last": np.eye(n or 1)[-1],
        "even": np.full(n, 1 / (n or 1)),
    }
    for name, rule in rules.items():
        if clean and rule.shape == among.shape and np.all(np.abs(among - rule) <= near):
            return name, True
    if clean and np.all(np.abs(among - 1) <= near):
        return "all", False
    valid = clean and bool(np.all(among >= -near) and abs(among.sum() - 1) <= near)
    return ("mixed" if valid else "outside"), valid


def set_rule(gradients: Sequence[Any], valid: ValidSet, dtype: str) -> tuple[str, bool | None]:
    """The rule of gradients measured at one singular point, and whether all of them are valid.

    >>> from gradparity.adapters.valid_sets import Ball
    >>> set_rule([(0.6, 0.8)], Ball(2.0), "float64"), set_rule([(np.nan, 0)], Ball(2.0), "float64")
    (('inside', True), ('outside', False))
    """
    if isinstance(valid, Unjudged):
        return "unjudged", None
    near = ROUNDINGS * float(np.finfo(dtype).eps)
    inside = all(valid.contains(gradient, near) for gradient in gradients)
    return ("inside" if inside else "outside"), inside
