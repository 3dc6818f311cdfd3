"""Checks of the arguments of an op: each error names the value received and the remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = [
    "axes_in",
    "broadcast",
    "finite",
    "fits",
    "index_rows",
    "indices",
    "of_shape",
    "one_of",
    "positive",
]


def positive(op: Any, name: str) -> None:
    """A whole number >= 1."""
    value = getattr(op, name)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{type(op).__name__}({name}={value!r}): give a whole number >= 1")


def finite(op: Any, *names: str) -> None:
    """Finite real numbers; kept as Python floats, for a NumPy scalar would force its dtype."""
    for name in names:
        value = getattr(op, name)
        real = isinstance(value, int | float | np.integer | np.floating)
        if isinstance(value, bool) or not real or not math.isfinite(value):
            raise ValueError(f"{type(op).__name__}({name}={value!r}): give a finite number")
        object.__setattr__(op, name, float(value))


def indices(op: Any, name: str, values: Any) -> tuple[int, ...]:
    """At least one index >= 0, as a tuple."""
    good = isinstance(values, Iterable) and not isinstance(values, str)
    found = tuple(values) if good else ()
    if not found or not all(
        isinstance(i, int | np.integer) and not isinstance(i, bool) and i >= 0 for i in found
    ):
        raise ValueError(
            f"{type(op).__name__}({name}={values!r}): give one or more whole numbers >= 0"
        )
    return tuple(int(i) for i in found)


def index_rows(op: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """At least one row of indices, as a tuple of tuples."""
    values = getattr(op, name)
    if not isinstance(values, Iterable) or isinstance(values, str) or not tuple(values):
        raise ValueError(
            f"{type(op).__name__}({name}={values!r}): give one or more rows of indices"
        )
    return tuple(indices(op, name, row) for row in values)


def one_of(op: Any, name: str, choices: tuple[str, ...]) -> None:
    """One of a few words."""
    if getattr(op, name) not in choices:
        words = " or ".join(map(repr, choices))
        raise ValueError(f"{type(op).__name__}({name}={getattr(op, name)!r}): give {words}")


def fits(op: Any, shape: tuple[int, ...], width: int) -> None:
    """A value whose last axis has the width that an op takes."""
    if not shape or shape[-1] != width:
        raise ValueError(f"{op.name} takes a value of width {width}, received shape {shape}")


def axes_in(op: Any, axis: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a value that are meant by `axis=`, none negative; all for None."""
    rank = len(shape)
    axes = range(rank) if axis is None else axis if isinstance(axis, Iterable) else (axis,)
    found = tuple(a % rank for a in axes if -rank <= a < rank)
    if len(set(found)) != len(tuple(axes)):
        raise ValueError(f"{op!r} does not fit a value of shape {shape}")
    return found


def broadcast(op: Any, shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """The common shape of values that are broadcast together."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        said = " and ".join(map(str, shapes))
        raise ValueError(f"{op.name}: the shapes {said} do not broadcast") from None


def of_shape(x: Any, shape: tuple[int, ...], what: str) -> Any:
    """The result of a user's function."""
    if x.shape != shape:
        raise ValueError(
            f"VectorActivation: {what} returned shape {x.shape}, expected {shape} (samples first)"
        )
    return x
