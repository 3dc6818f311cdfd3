"""Elementwise ops of two or three values, with broadcasting.

Each formula stands in its best form; `usual` names the forms that frameworks compute instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, like, unbroadcast, usual, vanishes
from ..formulas.arguments import broadcast, mask_of_0_and_1
from ..formulas.choices import Ball
from ..formulas.maxima import ExtremeOfTwo
from ..formulas.op import Op, Shape
from ..formulas.smooth import sigmoid

__all__ = [
    "Arctan2",
    "Divide",
    "Hypot",
    "Lerp",
    "LogAddExp",
    "Minimum",
    "Power",
    "Subtract",
    "Where",
]


class Elementwise(Op):
    """An elementwise op of several values: `f`, and its `shares` before they are summed."""

    n_inputs: ClassVar[int | None] = 2

    def f(self, *y: Array) -> Array:
        """The value z."""
        raise self._unwritten("f(self, *y)")

    def shares(self, dz: Array, *y: Array) -> tuple[Array | None, ...]:
        """The gradient of every input, in the shape of z."""
        raise self._unwritten("shares(self, dz, *y)")

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def forward(self, *y: Array) -> Array:
        return self.f(*y)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        shares = zip(self.shares(dz, *y), y, strict=True)
        return tuple(None if s is None else unbroadcast(s, a.shape) for s, a in shares)


@dataclass(frozen=True)
class Subtract(Elementwise):
    """z = a - b;  da = dz,  db = -dz."""

    def f(self, *y: Array) -> Array:
        return y[0] - y[1]

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        return dz, -dz


@dataclass(frozen=True)
class Divide(Elementwise):
    """z = a / b;  da = dz / b,  db = -dz z / b.

    >>> op, y = Divide(), (np.array([3.0]), np.array([4.0]))
    >>> op.vjp(np.ones(1), y, op.forward(*y))
    (array([0.25]), array([-0.1875]))
    """

    def f(self, *y: Array) -> Array:
        return y[0] / y[1]

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        a, b = y
        form = {"dz a / b^2": lambda: dz * a / (b * b), "dz a b^-2": lambda: dz * a * (1 / (b * b))}
        return dz / b, -usual(dz * (a / b) / b, form)


@dataclass(frozen=True)
class Power(Elementwise):
    """z = a^b = e^(b log a) for a > 0;  da = dz b a^(b-1),  db = dz z log a.

    For a < 0 and a whole number b it is (-1)^b |a|^b, which has no gradient by b.  0^b is 0 for
    b > 0, 1 for b = 0 and infinite for b < 0; its gradient by b is 0 for b >= 0.

    >>> Power().forward(np.array([4.0, -2.0, 0.0]), np.array([-0.5, 3.0, 0.0]))
    array([ 0.5, -8. ,  1. ])
    """

    def f(self, *y: Array) -> Array:
        return _powers(*y)

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        a, b = y
        z, one = self.f(*y), like(ONE, a)
        below = np.where(b == 0, 0, b - 1)  # the slope is 0 for b = 0, also at a = 0
        by_a = usual(_powers(a, below) * b, {"b z / a": lambda: b * z / a})
        known = np.where(a < 0, math.nan, np.where((a == 0) & (b >= 0), one, a))
        return dz * by_a, dz * (z * np.log(known))


ONE = np.array(1.0)


def _powers(a: Array, b: Array) -> Array:
    """a^b."""
    half, one = 0.5 * b, like(ONE, a)
    whole, even = b == np.floor(b), half == np.floor(half)
    z = np.exp(b * np.log(np.where(a == 0, one, np.where((a > 0) | whole, abs(a), math.nan))))
    at_zero = np.where(b > 0, 0, np.where(b == 0, one, math.inf))
    return np.where(a == 0, at_zero, np.where((a < 0) & ~even, -z, z))


@dataclass(frozen=True)
class Minimum(ExtremeOfTwo):
    """z = min(a, b);  dz goes to the smaller.

    At a tie any two weights >= 0 that sum to one are valid.

    Parameters
    ----------
    ties : which this op takes at a tie: "first", "last", or "even" (half to each).
    """

    def beyond(self, a: Array, b: Array) -> NDArray:
        smaller: NDArray = a < b
        return smaller

    def forward(self, *y: Array) -> Array:
        a, b = y
        return usual(
            np.minimum(a, b),
            {},
            {
                "a - relu(a - b)": lambda: a - np.maximum(a - b, 0),
                "b - relu(b - a)": lambda: b - np.maximum(b - a, 0),
                "(a + b - |a - b|) / 2": lambda: 0.5 * ((a + b) - abs(a - b)),
            },
        )


@dataclass(frozen=True)
class Where(Elementwise):
    """z = a where the mask is 1, b where it is 0;  dz goes to the chosen one.

    The inputs are the mask, a and b, in this order.

    >>> op, y = Where(), (np.array([1, 0]), np.array([2.0, 3.0]), np.array([4.0, 5.0]))
    >>> op.forward(*y)
    array([2., 5.])
    """

    n_inputs: ClassVar[int | None] = 3
    integers: ClassVar[bool] = True

    def check_integers(self, y: NDArray) -> None:
        """Raises ValueError for a mask of other numbers than 0 and 1."""
        mask_of_0_and_1(self, y, "first", "second")

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        unmet = [n for n, which in ((0, "second"), (1, "first")) if not (y[0] == n).any()]
        return f"the mask is nowhere {unmet[0]}" if unmet and y[0].size else ""

    def f(self, *y: Array) -> Array:
        mask, a, b = y
        return np.where(mask != 0, a, b)

    def shares(self, dz: Array, *y: Array) -> tuple[Array | None, ...]:
        return None, np.where(y[0] != 0, dz, 0), np.where(y[0] != 0, 0, dz)


@dataclass(frozen=True)
class LogAddExp(Elementwise):
    """z = log(e^a + e^b);  da = dz sigmoid(a - b),  db = dz sigmoid(b - a)."""

    def f(self, *y: Array) -> Array:
        largest, t = np.maximum(*y), np.exp(-abs(y[0] - y[1]))
        form = {"max + log(1 + e^-|a - b|)": lambda: largest + np.log(1 + t)}
        return usual(largest + np.log1p(t), form)

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        (a, b), z = y, self.f(*y)
        one = usual(sigmoid(a - b), {"e^(a - z)": lambda: np.exp(a - z)})
        other = usual(sigmoid(b - a), {"e^(b - z)": lambda: np.exp(b - z)})
        return dz * one, dz * other


@dataclass(frozen=True)
class Hypot(Elementwise):
    """z = sqrt(a^2 + b^2);  da = dz a / z,  db = dz b / z.

    Where both are 0 any vector of the unit ball, times dz, is valid; this op takes 0.
    """

    def f(self, *y: Array) -> Array:
        a, b = y
        return usual(np.hypot(a, b), {"sqrt(a^2 + b^2)": lambda: np.sqrt(a * a + b * b)})

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        r = _radius(*y)
        return dz * (y[0] / r), dz * (y[1] / r)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ball | None:
        a, b = y
        at = (np.abs(a) < tiny) & (np.abs(b) < tiny)
        return Ball.of_elements(at, a.shape, b.shape)


def _radius(a: Array, b: Array) -> Array:
    """sqrt(a^2 + b^2); 1 where it is 0."""
    r = np.hypot(a, b)
    return np.where(r == 0, 1, r)


@dataclass(frozen=True)
class Arctan2(Elementwise):
    """z = the angle of the point (b, a);  da = dz b / (a^2 + b^2),  db = -dz a / (a^2 + b^2).

    There is no gradient at (0, 0); this op takes 0.
    """

    def f(self, *y: Array) -> Array:
        return np.arctan2(y[0], y[1])

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        (a, b), r = y, _radius(*y)

        def over(c: Array) -> Array:
            forms = {
                "c / (a^2 + b^2)": lambda: c / (a * a + b * b),
                "c (1 / (a^2 + b^2))": lambda: c * (1 / (a * a + b * b)),
            }
            rare = {"c (1 / (a^2 + b^2)), 0 where a^2 + b^2 vanishes": lambda: _inverse(c, a, b)}
            return dz * usual(c / r / r, forms, rare)

        return over(b), -over(a)


def _inverse(c: Array, a: Array, b: Array) -> Array:
    s = a * a + b * b
    return np.where(vanishes(s), 0, c * (1 / s))


@dataclass(frozen=True)
class Lerp(Elementwise):
    """z = (1 - w) a + w b;  da = dz (1 - w),  db = dz w,  dw = dz (b - a).

    The inputs are a, b and w, in this order.
    """

    n_inputs: ClassVar[int | None] = 3

    def f(self, *y: Array) -> Array:
        a, b, w = y
        forms = {
            "a + w (b - a)": lambda: a + w * (b - a),
            "b - (1 - w) (b - a)": lambda: b - (1 - w) * (b - a),
        }
        return usual((1 - w) * a + w * b, forms)

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        a, b, w = y
        # JAX differentiates a + w (b - a).
        by_a = usual(dz * (1 - w), {"dz - dz w": lambda: dz - dz * w})
        return by_a, dz * w, dz * (b - a)
