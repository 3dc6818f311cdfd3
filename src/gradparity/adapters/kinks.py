"""An optional interface of adapters: every way in which they differentiate a kink.

`gradparity probe` asks an adapter for ``kinks()``, which is optional: the framework's own spellings
of functions with kinks, and how the framework differentiates a function.  No derivative is written
here or in what an adapter offers: only where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

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

#: Inputs whose largest elements tie: two, three and four of them, side by side and not.
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
#: A middle element that ties.
MIDDLE = ((1.0, 1.0, 1.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0))


class NativeKink(NamedTuple):
    """A function of a framework, and where it has kinks.

    Attributes
    ----------
    name : as a user writes it, z the argument.
    function : elementwise, any shape to the same shape; or, where ``ties`` are given, from (T, k)
        to (T,) or (T, 1), one instance a row.
    points : the kinks of an elementwise function.
    ties : inputs at which several elements are the function's value, such as `TIES`.
    """

    name: str
    function: Callable[[Any], Any]
    points: tuple[float, ...] = ()
    ties: tuple[tuple[float, ...], ...] = ()


def spelled(points: Sequence[Any], tied: Sequence[Any]) -> list[NativeKink]:
    """Build the table from (name, points, function) and (name, ties, function)."""
    lines = [NativeKink(name, function, at) for name, at, function in points]
    return [*lines, *(NativeKink(name, function, ties=at) for name, at, function in tied)]


class Question(NamedTuple):
    """The derivative of the sum of ``function(z)`` by z, an array (T, k)."""

    function: Callable[[Any], Any]
    z: Any
    elementwise: bool


class Answer(NamedTuple):
    """The value, shape as the function has it, and the derivative, shape (T, k)."""

    value: Any
    derivative: Any


@runtime_checkable
class Kinks(Protocol):
    """The result of ``adapter.kinks()``."""

    @property
    def spellings(self) -> Sequence[NativeKink]:
        """The framework's own, further ways to write functions with kinks."""
        ...

    def modes(self, compile: bool) -> Sequence[str]:
        """Names of the ways to differentiate, such as "reverse", "forward" and "jit reverse".

        `compile` : whether slow compilers are wanted too.
        """
        ...

    def function(self, native: Any) -> Callable[[Any], Any]:
        """The function x -> Y, both (T, D), of a network that ``adapter.build`` made."""
        ...

    def answers(self, questions: Sequence[Question], mode: str) -> list[Answer | Exception]:
        """All of one dtype, that of `z`; what the framework raised where it has no answer."""
        ...


Found = TypeVar("Found")


def each(
    ask: Callable[[Question], Found], questions: Sequence[Question]
) -> list[Found | Exception]:
    """Ask one by one, keeping what is raised as the answer."""
    found: list[Found | Exception] = []
    for question in questions:
        try:
            found.append(ask(question))
        except Exception as error:  # whatever a framework raises for what it does not support
            found.append(error)
    return found


def tangents(z: Any, elementwise: bool) -> list[Any]:
    """The directions in which forward mode has to look: one, or one for each of the k inputs.

    >>> tangents(np.zeros((2, 3)), elementwise=False)[1]
    array([[0., 1., 0.],
           [0., 1., 0.]])
    """
    if elementwise:
        return [np.ones_like(z)]
    columns = np.eye(z.shape[-1], dtype=z.dtype)
    return [np.repeat(column[np.newaxis], z.shape[0], axis=0) for column in columns]


def joined(changes: Sequence[Any], elementwise: bool) -> Any:
    """The derivative (T, k) from the changes in those directions."""
    if elementwise:
        return np.asarray(changes[0])
    return np.stack([np.asarray(c).reshape(len(c), -1).sum(-1) for c in changes], axis=-1)
