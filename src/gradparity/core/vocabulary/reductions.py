"""Reductions: ops that make one number of all elements along an axis.

Each formula stands in its best form; `usual` names the forms that frameworks compute instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, absorb, largest, like, split, usual
from ..formulas.arguments import axes_in, finite, refused, whole
from ..formulas.choices import Ball
from ..formulas.maxima import Extreme
from ..formulas.movements import OverAxes
from ..formulas.norms import variance
from ..formulas.op import Op, Shape
from ..formulas.softmax import Exponentials, softmax

__all__ = ["LogSumExp", "Min", "Prod", "Std", "Variance", "VectorNorm"]


@dataclass(frozen=True)
class Min(Extreme):
    """y = min_j z_j over each group of inputs;  dz_j = w_j dy, w_j = 1 for the smallest, else 0.

    At a tie any weights >= 0 that sum to one over the tied inputs are valid.

    Parameters
    ----------
    sizes : widths of the groups, which are consecutive inputs; None for one group of them all.
    axis : of the groups, the last by default; it is kept, with one element per group.
    ties : which element this op takes at a tie: "first", "last", or "even" (equal weights).

    >>> Min(sizes=(2, 1)).f(np.array([[1.0, 3.0, 2.0]]))
    array([[1., 2.]])
    """

    def upward(self, z: Array) -> Array:
        return -z


@dataclass(frozen=True)
class _OverAxis(Op):
    """An op along one axis, which it leaves out."""

    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        (at,) = axes_in(self, self.axis, shapes[0])
        return (*shapes[0][:at], *shapes[0][at + 1 :])


@dataclass(frozen=True)
class LogSumExp(_OverAxis):
    """z = log sum_j e^{y_j} along an axis;  dy_j = dz e^{y_j} / sum_i e^{y_i}.

    Parameters
    ----------
    axis : of the sum, the last by default; it is left out.
    """

    def hidden_rows(self, *y: NDArray) -> NDArray | None:
        return np.asarray(np.all(np.isneginf(y[0]), axis=self.axis))

    def _kept(self, y: Array) -> Array:
        e = Exponentials.of(y, self.axis)
        form = {"m + log sum e^(y - m)": lambda: absorb(e.m, np.log(e.total))}
        return usual(e.log_sum(), form)

    def forward(self, *y: Array) -> Array:
        return np.squeeze(self._kept(y[0]), axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        form = {"e^(y - z)": lambda: np.exp(y[0] - self._kept(y[0]))}
        return (np.expand_dims(dz, self.axis) * usual(softmax(y[0], self.axis), form),)


@dataclass(frozen=True)
class Prod(_OverAxis):
    """z = the product along an axis;  dy_j = dz times the product of all others.

    The others are those before and those after, so that zeros are nothing special.

    Parameters
    ----------
    axis : of the product, the last by default; it is left out.

    >>> op, y = Prod(), np.array([[2.0, 0.0, 5.0]])
    >>> op.forward(y).tolist(), op.vjp(np.ones(1), (y,), op.forward(y))[0].tolist()
    ([0.0], [[0.0, 10.0, 0.0]])
    """

    def _factors(self, y: Array) -> list[Array]:
        return split(y, [1] * y.shape[self.axis], self.axis)

    def output_shape(self, *shapes: Shape) -> Shape:
        out = super().output_shape(*shapes)
        if not shapes[0][self.axis]:
            raise ValueError(f"{self!r} has no factors in a value of shape {shapes[0]}")
        return out

    def forward(self, *y: Array) -> Array:
        if not y[0].shape[self.axis]:
            return like(np.ones(super().output_shape(y[0].shape)), y[0])
        *_, z = accumulate(self._factors(y[0]), lambda a, b: a * b)
        return np.squeeze(z, axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        if not y[0].shape[self.axis]:
            return (y[0],)
        factors, dz = self._factors(y[0]), np.expand_dims(dz, self.axis)
        before = [dz, *accumulate(factors[:-1], lambda a, b: a * b, initial=dz)][1:]
        after: list[Array] = list(accumulate(reversed(factors[1:]), lambda a, b: a * b))[::-1]
        shares = [a * b for a, b in zip(before, after, strict=False)] + before[-1:]
        form = {"dz z / y": lambda: dz * np.expand_dims(self.forward(*y), self.axis) / y[0]}
        return (usual(np.concatenate(shares, axis=self.axis), form),)


@dataclass(frozen=True)
class Variance(OverAxes):
    """z = sum (y - mean)^2 / (n - correction);  dy = 2 dz (y - mean) / (n - correction).

    Parameters
    ----------
    axis : one axis, several, or None for all of them.
    correction : 1 for the sample variance, 0 for the mean of the squares (ddof in NumPy), or any
        other number.

    >>> Variance().forward(np.array([[1.0, 3.0]]))
    array(2.)
    """

    correction: float = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(self, "correction")
        if self.correction == int(self.correction):
            object.__setattr__(self, "correction", int(self.correction))

    def output_shape(self, *shapes: Shape) -> Shape:
        out = super().output_shape(*shapes)
        if self.terms(shapes[0]) <= self.correction:
            n = self.terms(shapes[0])
            raise ValueError(f"{self!r} divides {n} squares by {n - self.correction:g}: give more")
        return out

    def _moments(self, y: Array) -> tuple[Array, Array, float]:
        """y - mean, the variance with its axes kept, and n - correction."""
        c, _, var = variance(y, self.axis)
        n = self.terms(y.shape)
        if n <= self.correction:  # the frameworks divide by zero
            return c, var * math.nan, 0
        rest = n - self.correction
        return c, var * n / rest if self.correction else var, rest

    def _without_axes(self, kept: Array, y: Array) -> Array:
        return np.reshape(kept, super().output_shape(y.shape))

    def forward(self, *y: Array) -> Array:
        return self._without_axes(self._moments(y[0])[1], y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        c, _, n = self._moments(y[0])
        return (2.0 * (self.beside(dz, y[0].shape) * c) / n,)


@dataclass(frozen=True)
class Std(Variance):
    """z = sqrt(sum (y - mean)^2 / (n - correction));  dy = dz (y - mean) / (n - correction) / z.

    Where all elements are equal there is no gradient; this op takes 0.

    Parameters
    ----------
    axis : one axis, several, or None for all of them.
    correction : 1 for the sample variance, 0 for the mean of the squares (ddof in NumPy).
    """

    def forward(self, *y: Array) -> Array:
        return np.sqrt(super().forward(*y))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        c, var, n = self._moments(y[0])
        zero = var == 0
        share = np.where(zero, 0, self.beside(dz, y[0].shape) / np.sqrt(np.where(zero, 1, var)))
        return (share * c / n,)


@dataclass(frozen=True)
class VectorNorm(_OverAxis):
    """z = (sum_j |y_j|^p)^{1/p} along an axis;  dy_j = dz sign(y_j) (|y_j| / z)^{p-1}.

    For p = 1 any slope in [-1, 1] is valid where an element is 0.  For p > 1 any vector of the unit
    ball of the dual norm, 1/p + 1/q = 1, is valid where all are 0.  For p < 0 a single 0 makes z 0:
    any numbers over the elements that are 0 whose sizes sum to at most one are valid, and 0 for the
    others.  This op takes 0.  For 0 < p < 1 there is no gradient where an element is 0.

    Parameters
    ----------
    axis : of the sum, the last by default; it is left out.
    order : p, finite and not 0; for the largest of |y| write the absolute value and `Max` as nodes.

    >>> VectorNorm(order=1).forward(np.array([3.0, -4.0])).tolist()
    7.0
    """

    order: float = field(default=2.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order in (math.inf, -math.inf):
            give = "a finite order; for the largest |y| write the absolute value and Max as nodes"
            raise refused(self, "order", self.order, give)
        finite(self, "order")
        if self.order == 0:
            raise refused(self, "order", self.order, "another number; for p = 0 count the elements")

    def _power(self, a: Array, p: float) -> Array:
        """a^p for a > 0 where it is not 0, and 0 elsewhere."""
        if p == 1.0:
            return a
        if p == 2.0:
            return a * a
        return np.where(a > 0, np.exp(p * np.log(np.where(a > 0, a, 1))), 0)

    def _root(self, s: Array) -> Array:
        """s^(1/p)."""
        if self.order == 2.0:
            return np.sqrt(s)
        return np.where(s > 0, np.exp(np.log(np.where(s > 0, s, 1)) / self.order), 0)

    def kept(self, y: Array) -> Array:
        """The norm, from elements that are divided by the largest; its axis is kept."""
        size, p = abs(y), self.order
        if p == 1.0:
            return size.sum(axis=self.axis, keepdims=True)
        m = largest(size, self.axis, 0.0) if p > 0 else -largest(-size, self.axis)
        scaled = size / np.where(m == 0, 1, m)
        best = m * self._root(self._power(scaled, p).sum(axis=self.axis, keepdims=True))

        def form() -> Array:
            return self._root(self._power(size, p).sum(axis=self.axis, keepdims=True))

        return usual(best, {"(sum |y|^p)^(1/p)": form})

    def forward(self, *y: Array) -> Array:
        return np.squeeze(self.kept(y[0]), axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, p, dz = y[0], self.order, np.expand_dims(dz, self.axis)
        if p == 1.0:
            return (np.where(x > 0, dz, np.where(x < 0, -dz, 0)),)
        size, norm = abs(x), self.kept(x)
        norm = np.where(norm == 0, 1, norm)

        def form() -> Array:
            return self._power(size, p - 1) / self._power(norm, p - 1)

        share = usual(self._power(size / norm, p - 1), {"|y|^(p-1) / z^(p-1)": form})
        if 0.0 < p < 1.0:
            share = np.where(size == 0, math.nan, share)
        if p < 0.0:
            share = np.where(self.kept(x) == 0, 0, share)
        return (dz * np.where(x > 0, share, -share),)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ball | None:
        p = self.order
        if 0.0 < p < 1.0:
            return None
        zero: Any = np.abs(y[0]) < tiny
        if p > 1.0:
            zero = np.broadcast_to(zero.all(axis=self.axis, keepdims=True), zero.shape)
        shape = self.output_shape(y[0].shape)
        out = np.arange(math.prod(shape)).reshape(shape)
        group = np.broadcast_to(np.expand_dims(out, self.axis), zero.shape)
        at = np.flatnonzero(zero)
        dual = math.inf if p == 1.0 else 1.0 if p < 0.0 else p / (p - 1.0)
        return Ball.of(group.ravel()[at], at, order=dual)
