"""Checks of the arguments of an op: each error names the value received and the remedy."""

from __future__ import annotations

import difflib
import keyword
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..arithmetic.received import received

__all__ = [
    "ChoiceError",
    "axes_in",
    "between",
    "broadcast",
    "choices_of",
    "did_you_mean",
    "finite",
    "fits",
    "fits_into",
    "index_rows",
    "index_within",
    "indices",
    "is_finite",
    "is_identifier",
    "is_whole",
    "listed",
    "mask_of_0_and_1",
    "of_shape",
    "one_of",
    "positive",
    "refused",
    "true_or_false",
    "whole",
    "whole_numbers",
    "wholes",
]


def refused(op: Any, name: str, value: Any, give: str) -> ValueError:
    """The error for an argument: the op, the argument, the value received and what to give."""
    return ValueError(f"{type(op).__name__}({name}={received(value)}): give {give}")


def is_whole(value: Any, least: float = -math.inf) -> bool:
    """Whether this is a whole number, of Python or NumPy, that is not below `least`."""
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return number and bool(value >= least)


def is_finite(value: Any) -> bool:
    """Whether this is a finite real number, of Python or NumPy."""
    real = isinstance(value, int | float | np.integer | np.floating)
    try:
        return real and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def is_identifier(name: Any) -> bool:
    """Whether this is a string that can be the name of a Python variable."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def listed(values: Any) -> tuple[Any, ...] | None:
    """The elements of a sequence, such as a list; None for anything else, a word included."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        return None
    try:
        return tuple(values)
    except TypeError:  # an array without axes
        return None


def whole_numbers(values: Any, least: float = -math.inf) -> tuple[int, ...] | None:
    """The elements of a sequence of whole numbers as Python ints; None for anything else."""
    found = listed(values)
    if found is None or not all(is_whole(v, least) for v in found):
        return None
    return tuple(int(v) for v in found)


def whole(op: Any, *names: str, least: float = -math.inf) -> None:
    """Whole numbers, kept as Python ints."""
    for name in names:
        value = getattr(op, name)
        if not is_whole(value, least):
            raise refused(op, name, value, f"a whole number{_at_least(least)}")
        object.__setattr__(op, name, int(value))


def positive(op: Any, *names: str) -> None:
    """Whole numbers >= 1, kept as Python ints."""
    whole(op, *names, least=1)


def wholes(op: Any, name: str, least: float = -math.inf, other: str = "") -> None:
    """A sequence of whole numbers, perhaps empty, kept as a tuple of Python ints.

    The error adds `other` to what to give.
    """
    found = whole_numbers(getattr(op, name), least)
    if found is None:
        give = f"a tuple of whole numbers{_at_least(least)}{other}"
        raise refused(op, name, getattr(op, name), give)
    object.__setattr__(op, name, found)


def _at_least(least: float) -> str:
    return "" if least == -math.inf else f" >= {least}"


def true_or_false(op: Any, *names: str) -> None:
    """True or False, kept as Python bools."""
    for name in names:
        value = getattr(op, name)
        if not isinstance(value, bool | np.bool_):
            raise refused(op, name, value, "True or False")
        object.__setattr__(op, name, bool(value))


def finite(op: Any, *names: str) -> None:
    """Finite real numbers; kept as Python floats, for a NumPy scalar would force its dtype."""
    for name in names:
        value = getattr(op, name)
        if not is_finite(value):
            raise refused(op, name, value, "a finite number")
        object.__setattr__(op, name, float(value))


def between(op: Any, name: str, low: float, high: float = math.inf) -> None:
    """A finite number, low <= it <= high."""
    value = getattr(op, name)
    finite(op, name)
    if not low <= value <= high:
        most = "" if high == math.inf else f" and <= {high:g}"
        raise refused(op, name, value, f"a number >= {low:g}{most}")


def above_zero(op: Any, name: str) -> None:
    """A finite number > 0."""
    finite(op, name)
    if getattr(op, name) <= 0:
        raise refused(op, name, getattr(op, name), "a number > 0")


def mask_of_0_and_1(op: Any, mask: Any, one: str, zero: str) -> None:
    """A mask that holds no other numbers than 0 and 1, whose meanings the error names."""
    other = mask[(mask != 0) & (mask != 1)]
    if other.size:
        raise ValueError(f"{op!r}: its mask holds {other[0]}; give 1 ({one}) or 0 ({zero})")


def indices(op: Any, name: str, values: Any) -> tuple[int, ...]:
    """At least one index >= 0, as a tuple."""
    found = whole_numbers(values, 0)
    if not found:
        raise refused(op, name, values, "one or more whole numbers >= 0")
    return found


def index_rows(op: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """At least one row of indices, as a tuple of tuples."""
    values = getattr(op, name)
    rows = listed(values)
    if not rows:
        raise refused(op, name, values, "one or more rows of indices")
    return tuple(indices(op, name, row) for row in rows)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question with the name that looks most like an unknown one; empty where none does.

    >>> did_you_mean("w1", ["W1", "b1"]), did_you_mean("momentum", ["W1"])
    (" did you mean 'W1'?", '')
    """
    names = list(names)
    near = [known for known in names if known.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" did you mean {near[0]!r}?" if near else ""


def one_of(op: Any, name: str, choices: tuple[str, ...]) -> None:
    """One of a few words."""
    value = getattr(op, name)
    if not isinstance(value, str) or value not in choices:
        raise ChoiceError(str(refused(op, name, value, " or ".join(map(repr, choices)))), choices)


class ChoiceError(ValueError):
    """The error for an argument that is not one of a few words.

    Attributes
    ----------
    choices : those words.
    """

    def __init__(self, message: str, choices: tuple[str, ...]) -> None:
        super().__init__(message)
        self.choices = choices

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.choices)


def choices_of(op: Any, name: str) -> tuple[str, ...]:
    """The words that an argument of an op may be, as the op itself lists them; () if it has none.

    >>> from gradparity.core.formulas.activations import GELU
    >>> choices_of(GELU(), "approximate"), choices_of(GELU(), "name")
    (('none', 'tanh'), ())
    """
    try:
        replace(op, **{name: ""})
    except ChoiceError as error:
        return error.choices
    except (ValueError, TypeError, AttributeError):
        pass
    return ()


def fits(op: Any, shape: tuple[int, ...], width: int) -> None:
    """A value whose last axis has the width that an op takes."""
    if not shape or shape[-1] != width:
        raise ValueError(f"{op.name} takes a value of width {width}, received shape {shape}")


def index_within(op: Any, largest: int, shape: tuple[int, ...]) -> None:
    """A value whose last axis has this index."""
    axes_in(op, -1, shape)
    if largest >= shape[-1]:
        raise ValueError(
            f"{op.name}: index {largest} of a value of shape {shape}; "
            f"indices go from 0 to {shape[-1] - 1}"
        )


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


def fits_into(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether a value of one shape broadcasts to another shape."""
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def of_shape(x: Any, shape: tuple[int, ...], what: str) -> Any:
    """The result of a user's function."""
    if x.shape != shape:
        raise ValueError(
            f"VectorActivation: {what} returned shape {x.shape}, expected {shape} (samples first)"
        )
    return x
