"""The choices of a gradient that an op leaves open at its kinks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np

from ..arithmetic.arrays import NDArray

__all__ = [
    "Ball",
    "Choice",
    "Kink",
    "Slopes",
    "Ties",
]


@dataclass(frozen=True)
class Kink:
    """A point where a scalar function has two one-sided slopes.

    Its subdifferential (Clarke's, the convex hull of the limits of nearby derivatives) is the
    interval between them.

    Parameters
    ----------
    at : the point.
    left, right : the slopes just before and just after it.
    others : slopes that are valid too: those of a random function.

    >>> Kink(at=0.0, left=0.0, right=1.0).interval
    (0.0, 1.0)
    """

    at: float
    left: float
    right: float
    others: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest valid slope."""
        slopes = (self.left, self.right, *self.others)
        return min(slopes), max(slopes)


@dataclass(frozen=True)
class Slopes:
    """The elements at a kink of an elementwise op, and the valid slopes: arrays like its input.

    Parameters
    ----------
    at : True at a kink.
    low, high : the interval of valid slopes; anything where `at` is False.
    input : which input, the first by default.
    """

    at: NDArray
    low: NDArray
    high: NDArray
    input: int = 0


@dataclass(frozen=True)
class Slots:
    """Routes from an element of the output to elements of the inputs: three integer arrays (n,).

    Parameters
    ----------
    group : flat index of the output's element.
    element : flat index of an input's element.
    input : which input.
    """

    group: NDArray
    element: NDArray
    input: NDArray

    @classmethod
    def of(cls, group: Any, element: Any, input: Any = 0, **more: Any) -> Self | None:
        """Broadcast the arrays to one length; None means that there is no slot.

        >>> Ties.of([0, 0], [3, 5]).input
        array([0, 0])
        """
        routes = np.broadcast_arrays(
            *(np.asarray(a, dtype=np.int64) for a in (group, element, input))
        )
        return cls(*(a.ravel() for a in routes), **more) if routes[0].size else None

    @classmethod
    def of_elements(cls, at: NDArray, *shapes: tuple[int, ...], **more: Any) -> Self | None:
        """The chosen elements of an elementwise result, with those that were broadcast to them.

        >>> slots = Ties.of_elements(np.array([False, True]), (2,), (1,))
        >>> slots.group.tolist(), slots.element.tolist(), slots.input.tolist()
        ([1, 1], [1, 0], [0, 1])
        """
        chosen, n = np.flatnonzero(at), len(shapes)
        elements = [
            np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), at.shape).ravel()[chosen]
            for shape in shapes
        ]
        return cls.of(
            np.tile(chosen, n), np.concatenate(elements), np.repeat(range(n), len(chosen)), **more
        )

    def through(self, group: NDArray, element: NDArray, kept: NDArray) -> Self:
        """The routes that are kept, with other groups and elements: those behind movements."""
        return replace(self, group=group[kept], element=element[kept], input=self.input[kept])

    def groups(self, size: int) -> NDArray:
        """True at the elements of an output of this size that are groups, flat."""
        at = np.zeros(size, bool)
        at[self.group] = True
        return at


@dataclass(frozen=True)
class Ties(Slots):
    """Inputs that share the maximum of a group: only groups in which several inputs tie.

    Valid are weights that are >= 0 and sum to one in each group.  Groups may share elements, as
    overlapping windows do.

    Parameters
    ----------
    sign : factors of the weights, 1 or -1, where the maximum is that of sizes; None for all 1.  In
        a group with 0 the sizes are all zero: the weights sum to at most one, with any signs.
    """

    sign: NDArray | None = None

    def through(self, group: NDArray, element: NDArray, kept: NDArray) -> Self:
        found = super().through(group, element, kept)
        return found if self.sign is None else replace(found, sign=self.sign[kept])


@dataclass(frozen=True)
class Ball(Slots):
    """Inputs of a norm that are all zero: the gradient may be any vector in a ball.

    Parameters
    ----------
    order : 1, 2 or inf: the gradients of a group have at most this norm, times dz.
    """

    order: float = 2.0


#: What is valid at the kinks of an op: one choice, which couples its inputs.
Choice: TypeAlias = Slopes | Ties | Ball
