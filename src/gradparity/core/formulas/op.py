"""What an op is: one hand-derived formula pair, its kinks, and its subdifferential there.

The letters are the lecture's: an op takes values ``y`` and gives ``z``; the gradient of the
divergence arrives as ``dz`` and leaves as one ``dy`` per input.  Values are (T, D): one instance a
row, so every formula works along the last axis and never mixes instances (parameters aside).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array

__all__ = [
    "Activation",
    "Compound",
    "Kink",
    "Kinked",
    "Op",
    "Params",
    "Slopes",
    "Ties",
    "attributes",
]

Params = dict[str, Array]


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
    """Where an elementwise op is at a kink, and which slopes are valid there: arrays (T, D).

    Parameters
    ----------
    at : True at a kink.
    low, high : the interval of valid slopes; anything where `at` is False.
    """

    at: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Ties:
    """Which inputs share the maximum of their group, and the sizes of the groups.

    Valid are weights that are >= 0, sum to one in each group, and are zero off the tied inputs.

    Parameters
    ----------
    winners : True where an input is the largest of its group, (T, D).
    sizes : the number of inputs of each group, which lie side by side.
    """

    winners: Array
    sizes: tuple[int, ...]


def attributes(thing: Any) -> dict[str, Any]:
    """What an op or a divergence was given, by name; it need not be a dataclass."""
    slots = (getattr(kind, "__slots__", ()) for kind in reversed(type(thing).__mro__))
    names = [name for slot in slots for name in ([slot] if isinstance(slot, str) else slot)]
    kept = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    return kept | getattr(thing, "__dict__", {})


class Op:
    """One formula pair.  Subclasses are frozen dataclasses, so an op is a value.

    `forward` and `backward` must be written with the NumPy functions that `Bounded` supports, must
    not write in place, and must return the dtype they are given.  Anybody may write a subclass:
    docs/how-to/own-op.md shows how.

    >>> class Cube(Op):
    ...     def forward(self, p, *y):
    ...         return y[0] ** 3
    ...     def backward(self, dz, p, y, z):
    ...         return (dz * (3 * y[0] ** 2),)
    >>> Cube().backward(np.ones((1, 1)), {}, (np.full((1, 1), 2.0),), np.full((1, 1), 8.0))
    (array([[12.]]),)
    """

    #: How many values the op takes; None means two or more.
    n_inputs: ClassVar[int | None] = 1

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in attributes(self).items())
        return f"{self.name}({', '.join(given)})"

    @property
    def name(self) -> str:
        """That of its class."""
        return type(self).__name__

    @property
    def random(self) -> bool:
        """Whether every implementation draws numbers of its own; see `observed`."""
        return False

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, by the lecture's letter; an op without any has none."""
        return {}

    def width(self, *widths: int) -> int:
        """Number of outputs for these numbers of inputs; raises ValueError if they do not fit."""
        return widths[0]

    def forward(self, p: Params, *y: Array) -> Array:
        """The value z of shape (T, width)."""
        raise self._unwritten("forward(self, p, *y)")

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        """dDiv/dy for every input, given dz = dDiv/dz and what the forward pass stored."""
        raise self._unwritten("backward(self, dz, p, y, z)")

    def _unwritten(self, formula: str) -> NotImplementedError:
        return NotImplementedError(
            f"{self.name} has no formula {formula.partition('(')[0]}; write {formula}, as "
            "docs/how-to/own-op.md shows"
        )

    def gradients(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> Params:
        """dDiv/dp for every parameter."""
        return {}

    def subdifferential(self, p: Params, y: Array, tiny: float) -> Slopes | Ties | None:
        """Where the op is not differentiable at its first input y, and what is valid there.

        A slope may depend on the parameters.  Numbers below `tiny`, the smallest normal number,
        count as zero: XLA flushes them.
        """
        return None

    def observed(self, y: Array, z: Array) -> Op:
        """The op whose free draws are those seen in (y, z); only a random op is not itself."""
        return self

    def native_function(self, framework: str) -> Callable[..., Any] | None:
        """The op's own function of a framework's values, or None where it has none.

        ``z = f(*y, *parameters)``, the parameters in the order of `parameter_shapes` and in the
        lecture's layout.  The framework differentiates it.  Adapters ask it before they look for a
        layer of their own; `framework` is the adapter's: "torch", "jax", ...

        >>> Op().native_function("torch") is None
        True
        """
        return None


class Activation(Op):
    """An op on one value: ``y = f(z)`` and ``dz = df(dy, z, y)``, in the letters of section 2."""

    def f(self, z: Array) -> Array:
        """The value y of shape (T, width)."""
        raise self._unwritten("f(self, z)")

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        """dDiv/dz, given dy = dDiv/dy, what came in and what went out."""
        raise self._unwritten("df(self, dy, z, y)")

    def forward(self, p: Params, *y: Array) -> Array:
        return self.f(y[0])

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (self.df(dz, y[0], z),)


@dataclass(frozen=True)
class Kinked(Activation):
    """A scalar activation with kinks; ``subgradient`` names the element it takes there.

    Parameters
    ----------
    subgradient : "right" or "left" for that one-sided slope, or the slope itself, which must lie in
        the subdifferential.  For ReLU, "right" is the lecture's equation (1 at 0) and "left" the
        choice of the frameworks' `relu` (0).
    """

    subgradient: float | str = field(default="right", kw_only=True)

    def __post_init__(self) -> None:
        for kink in self.kinks:
            low, high = kink.interval
            if isinstance(self.subgradient, str):
                valid = self.subgradient in ("left", "right")
            else:
                valid = low <= self.subgradient <= high
                # A NumPy scalar would force its own dtype on the formula.
                object.__setattr__(self, "subgradient", float(self.subgradient))
            if not valid:
                raise ValueError(
                    f"{self.name}(subgradient={self.subgradient!r}): at {kink.at:g} give 'left' "
                    f"({kink.left:g}), 'right' ({kink.right:g}) or a number in [{low:g}, {high:g}]"
                )

    @property
    def kinks(self) -> tuple[Kink, ...]:
        """The points where the one-sided slopes differ."""
        raise NotImplementedError

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        """dDiv/dz away from the kinks, and with the left slope at them."""
        raise NotImplementedError

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        dz = self.slope(dy, z, y)
        for kink in self.kinks:
            if self.taken_at(kink) != kink.left:  # `slope` takes the left one
                dz = np.where(z == kink.at, self.taken_at(kink) * dy, dz)
        return dz

    def taken_at(self, kink: Kink) -> float:
        """The slope this op takes at the kink."""
        if isinstance(self.subgradient, str):
            return kink.left if self.subgradient == "left" else kink.right
        return self.subgradient

    def subdifferential(self, p: Params, y: Array, tiny: float) -> Slopes | None:
        met = [(kink, np.abs(y) < tiny if kink.at == 0.0 else y == kink.at) for kink in self.kinks]
        if not any(here.any() for _, here in met):
            return None
        at = np.any([here for _, here in met], axis=0)
        low = sum(np.where(here, kink.interval[0], 0.0) for kink, here in met)
        high = sum(np.where(here, kink.interval[1], 0.0) for kink, here in met)
        return Slopes(at, low, high)


class Compound:
    """An op with an inner kink, expanded into a chain of ops so that each is judged on its own."""

    def chain(self) -> tuple[tuple[str, Op], ...]:
        """(suffix of the node's name, op) in order; the last suffix is empty."""
        raise NotImplementedError
