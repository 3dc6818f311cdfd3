"""Measure where norms and softmaxes lose digits, over means and spreads of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ....adapters.smooth import NativeSmooth
from ....core.arithmetic.precision import Precision
from .errors import Errors, errors, threshold
from .formulas.vectors import WEIGHTS
from .truth import Truth
from .vector_truth import movable, parameters, rows, vector_truth

__all__ = ["Column", "columns"]

MODES = ("reverse", "jit reverse")


class Column(NamedTuple):
    """The worst element of each vector, for one quantity and mode.

    Attributes
    ----------
    quantity, mode : "value" or "derivative", and the way to evaluate.
    x, got, true, compared : the parameters, and the element with its errors.
    ill : whether only elements are wrong that the vector's last places move as far.
    """

    quantity: str
    mode: str
    x: Any
    got: Any
    true: Any
    compared: Errors
    ill: Any


def columns(native: Any, one: NativeSmooth, dtype: str, compile: bool) -> Iterator[Column | str]:
    """The worst elements of a function's values and gradients; text for a mode that raises."""
    v, precision = rows(one.name, dtype), Precision.of(dtype)
    for mode in (mode for mode in MODES if mode in native.modes(compile)):
        try:
            answer = native.vector_answer(one.function, v, WEIGHTS, dtype, mode)
        except Exception as error:  # frameworks raise anything for what they do not support
            yield f"{one.spelling}, {mode} {dtype}: {error}".splitlines()[0]
            continue
        for quantity, got in zip(("value", "derivative"), answer, strict=True):
            true = vector_truth(one.name, quantity, v)
            moved = _moved(one.name, quantity, v, got, true, precision)
            yield _worst(quantity, mode, parameters(one.name, dtype), got, true, moved, precision)


def _moved(name: str, quantity: str, v: Any, got: Any, true: Truth, precision: Precision) -> Any:
    """The distances that last places move results, for vectors on which digits are lost."""
    moved = np.zeros_like(true.nearest)
    lost = errors(got, true, precision).lost
    for i in np.flatnonzero((lost >= threshold(precision)).any(axis=1)):
        moved[i] = movable(name, quantity, v[i], precision)
    return moved


def _worst(
    quantity: str, mode: str, x: Any, got: Any, true: Truth, moved: Any, precision: Precision
) -> Column:
    found = errors(got, true, precision)
    with np.errstate(invalid="ignore"):
        ill = np.abs(got - true.nearest) <= moved
    bad = found.lost >= threshold(precision)
    weight = np.where(bad & ~ill, 100 + found.lost, np.nan_to_num(found.lost, nan=-1, posinf=50))
    at = np.arange(len(x)), np.argmax(weight, axis=1)
    compared = Errors(found.ulps[at], found.lost[at])
    return Column(quantity, mode, x, got[at], true.nearest[at], compared, (bad & ill)[at])
