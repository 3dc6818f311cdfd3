"""Ops with kinks in several inputs that are broadcast: clamps between arrays, learned slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast
from ..formulas.arguments import broadcast
from ..formulas.choices import Ties
from ..formulas.op import Op, Shape
from ..vocabulary.kinked import PReLU

__all__ = ["Clamp", "SlopesBelow"]


@dataclass(frozen=True)
class Clamp(Op):
    """z = min(max(y, low), high);  dz goes to the input that z is equal to.

    Where several of the inputs that decide are equal, any weights >= 0 that sum to one are valid;
    this op takes y, and high before low.

    Parameters
    ----------
    to_none : give the gradient to none of them, which is wrong; JAX does.

    The inputs are y, low and high, which broadcast.

    >>> Clamp().forward(np.array([0.0, 2.0, 9.0]), np.array(1.0), np.array(3.0))
    array([1., 2., 3.])
    """

    to_none: bool = False
    n_inputs: ClassVar[int | None] = 3

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def forward(self, *y: Array) -> Array:
        x, low, high = y
        return np.minimum(np.maximum(x, low), high)

    def _decides(self, y: tuple[Array, ...]) -> tuple[NDArray, NDArray, NDArray]:
        """Where each input is what z is equal to."""
        x, low, high = y
        below = np.maximum(x, low) <= high
        return below & (x >= low), below & (low >= x), (high <= x) | (high <= low)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, low, high = self._decides(y)
        each = x, low & ~x & ~high, high & ~x
        if self.to_none:
            each = x & ~low & ~high, low & ~x & ~high, high & ~x & ~low
        return tuple(
            unbroadcast(np.where(at, dz, 0), a.shape) for at, a in zip(each, y, strict=True)
        )

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        a = tuple(np.where(np.abs(each) < tiny, 0.0, each) for each in y)
        decides = np.stack(np.broadcast_arrays(*self._decides(a)))
        inputs, group = np.nonzero((decides & (decides.sum(axis=0) > 1)).reshape(3, -1))
        element = np.zeros(group.size, int)
        for i, each in enumerate(y):
            number = np.broadcast_to(np.arange(each.size).reshape(each.shape), decides.shape[1:])
            element[inputs == i] = number.ravel()[group[inputs == i]]
        return Ties.of(group, element, inputs)


class SlopesBelow(PReLU):
    """z = y for y > 0, else a y: as `PReLU`, with slopes a in any shape that broadcasts to y.

    The inputs are y and a.
    """

    n_inputs: ClassVar[int | None] = 2

    def parameter_shapes(self) -> dict[str, Shape]:
        return {}

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def _beside(self, a: Array, y: Array) -> Array:
        return a

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, a = y
        return np.where(x > 0, dz, a * dz), unbroadcast(np.where(x > 0, 0, dz * x), a.shape)
