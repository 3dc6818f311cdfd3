"""The optional interface of adapters that `gradparity probe` uses.

An adapter's ``kinks()`` lists the framework's functions with kinks and the ways in which the
framework differentiates.  It contains no derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from .singular import SINGULAR
from .valid_sets import Singular

__all__ = [
    "LOWEST",
    "MIDDLE",
    "TIES",
    "Answer",
    "Kinks",
    "NativeKink",
    "Question",
    "each",
    "joined",
    "spelled",
    "tangents",
]

#: Inputs whose two, three or four largest elements tie, adjacent or not.
TIES = (
    (1.0, 1.0, 0.0, 0.0),
    (1.0, 0.0, 1.0, 0.0),
    (0.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, 0.0, 1.0),
    (1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, 1.0, 1.0),
    (1.0, 0.0, 1.0, 1.0),
    (1.0, 1.0, 1.0, 1.0),
)
#: For functions that take the smallest element.
LOWEST = tuple(tuple(-z for z in tied) for tied in TIES)
#: Inputs whose middle element ties.
MIDDLE = ((1.0, 1.0, 1.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0))


class NativeKink(NamedTuple):
    """A function of a framework, and its kinks.

    Attributes
    ----------
    name : as a user writes it, z the argument.
    function : elementwise, any shape to the same shape; or, where ``ties`` are given, from (T, k)
        to (T,) or (T, 1), one sample a row.
    points : the kinks of an elementwise function.
    ties : inputs at which several elements equal the function's value, such as `TIES`.
    singular : inputs of a function from (T, k) to (T, ...) with the valid gradients of each row.
    modes, dtypes : those in which it is measured; empty for all.
    """

    name: str
    function: Callable[[Any], Any]
    points: tuple[float, ...] = ()
    ties: tuple[tuple[float, ...], ...] = ()
    singular: Singular = ()
    modes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()


def spelled(
    points: Sequence[Any], tied: Sequence[Any], singular: Sequence[Any] = ()
) -> list[NativeKink]:
    """Build the table from (name, points, function), (name, ties, function) and, for singular
    points, (name, name in `gradparity.adapters.singular.SINGULAR`, function)."""
    return [
        *(NativeKink(name, function, at) for name, at, function in points),
        *(NativeKink(name, function, ties=at) for name, at, function in tied),
        *(NativeKink(name, function, singular=SINGULAR[at]) for name, at, function in singular),
    ]


class Question(NamedTuple):
    """The derivative of the sum of ``function(z)`` by z, an array (T, k)."""

    function: Callable[[Any], Any]
    z: Any
    elementwise: bool


class Answer(NamedTuple):
    """The value in the function's own shape, and the derivative, shape (T, k)."""

    value: Any
    derivative: Any


@runtime_checkable
class Kinks(Protocol):
    """The result of ``adapter.kinks()``."""

    @property
    def spellings(self) -> Sequence[NativeKink]:
        """The framework's functions with kinks."""
        ...

    def modes(self, compile: bool) -> Sequence[str]:
        """Names of the ways to differentiate, such as "reverse", "forward" and "jit reverse".

        `compile` : whether to include slow compilers.
        """
        ...

    def function(self, native: Any) -> Callable[[Any], Any]:
        """The function x -> Y, both (T, D), of a network that ``adapter.build`` made."""
        ...

    def answers(self, questions: Sequence[Question], mode: str) -> list[Answer | Exception]:
        """Answers in order, in the dtype of `z`; an exception where the framework raised one."""
        ...


Found = TypeVar("Found")


def each(
    ask: Callable[[Question], Found], questions: Sequence[Question]
) -> list[Found | Exception]:
    """Ask one by one; an exception counts as the answer."""
    found: list[Found | Exception] = []
    for question in questions:
        try:
            found.append(ask(question))
        except Exception as error:  # frameworks raise anything for what they do not support
            found.append(error)
    return found


def tangents(z: Any, elementwise: bool) -> list[Any]:
    """The tangents for forward mode: one, or one for each of the k inputs.

    >>> tangents(np.zeros((2, 3)), elementwise=False)[1]
    array([[0., 1., 0.],
           [0., 1., 0.]])
    """
    if elementwise:
        return [np.ones_like(z)]
    columns = np.eye(z.shape[-1], dtype=z.dtype)
    return [np.repeat(column[np.newaxis], z.shape[0], axis=0) for column in columns]


def joined(changes: Sequence[Any], elementwise: bool) -> Any:
    """The derivative (T, k) from the changes along those tangents."""
    if elementwise:
        return np.asarray(changes[0])
    return np.stack([np.asarray(c).reshape(len(c), -1).sum(-1) for c in changes], axis=-1)
