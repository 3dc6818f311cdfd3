"""The optional interface of adapters that `gradparity probe` uses.

An adapter's ``kinks()`` lists the framework's functions with kinks and the ways in which the
framework differentiates.  It contains no derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

__all__ = [
    "LOWEST",
    "MIDDLE",
    "TIES",
    "Answer",
    "Ball",
    "Box",
    "Kinks",
    "NativeKink",
    "Question",
    "Singular",
    "Unjudged",
    "ValidSet",
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


@dataclass(frozen=True)
class Box:
    """Valid gradients: each element between two numbers, and their sum too where it is limited.

    Bounds may be infinite; equal bounds leave one gradient.  NaN is never inside.

    >>> print(Box((0.0, 1.0), (0.0, 2.0)), "|", Box((0.0, 0.0), (1.0, 1.0), (1.0, 1.0)))
    0 [1, 2] | simplex
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    total: tuple[float, float] | None = None

    def contains(self, gradient: Any, near: float) -> bool:
        """Whether a gradient is inside, up to `near` relative to the bounds or to one."""
        low, high, g = (np.asarray(x, float) for x in (self.low, self.high, gradient))
        slack = near * max([1.0, *(abs(x) for x in (*low, *high) if np.isfinite(x))])
        if not ((low - slack <= g) & (g <= high + slack)).all():
            return False
        return self.total is None or bool(
            self.total[0] - slack * g.size <= g.sum() <= self.total[1] + slack * g.size
        )

    def __str__(self) -> str:
        ones = all(x == 0 for x in self.low) and set(self.high) <= {0.0, 1.0}
        if ones and self.total == (1.0, 1.0):
            return "simplex"
        said = [
            f"{a + 0.0:.3g}" if a == b else f"[{a + 0.0:.3g}, {b + 0.0:.3g}]"
            for a, b in zip(self.low, self.high, strict=True)
        ]
        said = said[:1] if len(set(said)) == 1 else said
        if self.total is None:
            return " ".join(said)
        a, b = self.total
        return " ".join(said) + " sum " + (f"{a:.3g}" if a == b else f"{a:.3g}..{b:.3g}")


@dataclass(frozen=True)
class Ball:
    """Valid gradients: those with a norm of this order up to `radius`.

    The subgradients of a norm at the zero vector are the unit ball of the dual order.  With
    `total`, the sum of the elements is that number: a standard deviation ignores a common shift.

    >>> print(Ball(2.0), "|", Ball(2.0, 0.5, 0.0))
    ball 2 | ball 2 r 0.5 sum 0
    """

    order: float
    radius: float = 1.0
    total: float | None = None

    def contains(self, gradient: Any, near: float) -> bool:
        """Whether a gradient is inside, up to `near` relative to the radius or to one."""
        g = np.asarray(gradient, float)
        slack = near * max(1.0, self.radius)
        if not np.isfinite(g).all() or np.linalg.norm(g, self.order) > self.radius + slack:
            return False
        return self.total is None or bool(abs(g.sum() - self.total) <= slack * g.size)

    def __str__(self) -> str:
        size = "" if self.radius == 1 else f" r {self.radius:.3g}"
        return f"ball {self.order:g}{size}" + ("" if self.total is None else f" sum {self.total:g}")


@dataclass(frozen=True)
class Unjudged:
    """No gradient is valid or wrong here, for this reason.

    >>> print(Unjudged("the value is NaN"))
    any
    """

    reason: str

    def __str__(self) -> str:
        return "any"


ValidSet = Box | Ball | Unjudged
#: Inputs, one row each, with the gradients that are valid there.
Singular = tuple[tuple[tuple[float, ...], ValidSet], ...]


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
    from .singular import SINGULAR

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
