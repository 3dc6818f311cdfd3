"""The arguments that an op was made with, and the other values that they may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.arguments import choices_of
from ...core.formulas.op import Op, Shape
from ...core.formulas.windows import Windows
from .wrapped import InMode

__all__ = ["arguments_of", "complements", "other_arguments", "other_modes"]

#: Whole numbers below this are tried for any argument that is one ...
FEW = 9
#: ... and the divisors of sizes up to this.
LARGE = 64


def arguments_of(op: Op) -> tuple[Field[Any], ...]:
    """The arguments that an op was made with; none where it is not a dataclass."""
    return fields(op) if is_dataclass(op) else ()


def complements(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) with 1 - a in place of each number a between 0 and 1.

    >>> from gradparity.core.formulas.piecewise import LeakyReLU
    >>> [words for words, _ in complements(LeakyReLU(0.25))]
    ['right with a = 0.75, where the network has a = 0.25: 1 - a in place of a']
    """
    for argument in arguments_of(op):
        name, value = argument.name, getattr(op, argument.name)
        if not isinstance(value, float) or not 0.0 < value < 1.0 or value == 0.5:
            continue
        instead = float(f"{1.0 - value:.15g}")
        try:
            other: Op = replace(op, **{name: instead})  # type: ignore[type-var]
        except ValueError:
            continue
        said = f"right with {name} = {instead}, where the network has {name} = {value}"
        yield f"{said}: 1 - {name} in place of {name}", other


def other_modes(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) in modes that change the states of an op, such as training and evaluation."""
    for argument in arguments_of(op) if op.buffers else ():
        value = getattr(op, argument.name)
        if isinstance(value, bool):
            other: Op = replace(op, **{argument.name: not value})  # type: ignore[type-var]
            if other.states != op.states and other.parameter_shapes() == op.parameter_shapes():
                yield _words(op, {argument.name: not value}), InMode(op, other)


def other_arguments(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) with one argument changed, or a word together with another argument.

    Those that leave the shapes of all values as they are: the other truth value, the other words
    that the op lists, whole numbers, and pairs such as paddings in the other order.

    >>> import numpy as np
    >>> from gradparity.core.vocabulary.normalisation import GroupNorm
    >>> y = np.ones((5, 4, 2)), np.ones(4), np.ones(4)
    >>> [words for words, _ in other_arguments(GroupNorm(4, 2), y)][0]
    'right with groups = 1, where the network has groups = 2'
    """
    shapes = [a.shape for a in y]
    found = {a.name: [*_values(op, a.name, y)] for a in arguments_of(op)}
    singles = [{name: value} for name, values in found.items() for value in values]
    words = [name for name in found if isinstance(getattr(op, name), str) and found[name]]
    pairs = [
        {word: value, name: other}
        for word in words
        for name in found
        if name != word and isinstance(getattr(op, name), str | bool)
        for value in found[word]
        for other in found[name]
    ]
    for given in (*singles, *pairs):
        said = _words(op, given)
        for also, other in _made(op, given, shapes):
            yield said + also, other


def _words(op: Op, given: Mapping[str, Any]) -> str:
    there = " and ".join(f"{name} = {value!r}" for name, value in given.items())
    here = " and ".join(f"{name} = {getattr(op, name)!r}" for name in given)
    return f"right with {there}, where the network has {here}"


def _values(op: Op, name: str, y: Sequence[NDArray]) -> Iterator[Any]:
    """Other values that an argument may have, by the value it has; the op may refuse them."""
    value = getattr(op, name)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        shape = y[0].shape
        sizes = {n for a in y for n in a.shape if n <= LARGE}
        parts = {k for n in sizes for k in range(1, n + 1) if n % k == 0}
        numbers = range(y[0].ndim) if name == "axis" else sorted({*range(FEW), *parts})
        own = value % len(shape) if name == "axis" and shape else value
        yield from (k for k in numbers if k != own)
    elif isinstance(value, str | tuple):
        yield from (word for word in choices_of(op, name) if word != value)
    if name == "padding":
        yield from _paddings(op, value, y)


def _paddings(op: Any, value: Any, y: Sequence[NDArray]) -> Iterator[Any]:
    """The low and the high side of a padding exchanged; those of "same" are the value's own."""
    if value == "same":
        windows = getattr(op, "windows", None)
        value = windows.pads(y[0].shape[2:]) if isinstance(windows, Windows) else ()
    if isinstance(value, tuple) and all(isinstance(pair, tuple) for pair in value):
        other = tuple(pair[::-1] for pair in value)
        if other != value:
            yield other


def _made(op: Op, given: Mapping[str, Any], shapes: Sequence[Shape]) -> Iterator[tuple[str, Op]]:
    """(further words, op) with these arguments; nothing where its values have other shapes."""
    refused = (ValueError, TypeError, IndexError, AttributeError, ArithmeticError)
    try:
        other: Op = replace(op, **given)  # type: ignore[type-var]
        own, new = op.parameter_shapes(), other.parameter_shapes()
        same_kind = (other.n_inputs, other.outputs) == (op.n_inputs, op.outputs)
        if not same_kind or any(new[b] != own[b] for b in new if b in own):
            return
        n = len(shapes) - len(own)
        taken = (*shapes[:n], *new.values())
        if other.output_shape(*taken) != op.output_shape(*shapes):
            return
    except refused:
        return
    if new == own and other.states == op.states:
        yield "", other
        return
    yield "", InMode(op, other)
    for extra in own:
        for to in new if extra not in new else ():
            if new[to] == own[extra]:
                yield f", and {extra} added to {to}", InMode(op, other, ((extra, to),))
