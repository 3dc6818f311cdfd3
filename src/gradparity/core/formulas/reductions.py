"""Norms of vectors: one number per vector, not differentiable at 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from .op import Ball, Op, Shape

__all__ = ["Norm"]


@dataclass(frozen=True)
class Norm(Op):
    """z = sqrt(sum_i y_i^2) over the last axis;  dy = dz y / z.

    At y = 0 any vector of the unit ball, times dz, is valid; this op takes 0.

    >>> Norm().forward(np.array([[3.0, 4.0]]))
    array([5.])
    """

    def output_shape(self, *shapes: Shape) -> Shape:
        if not shapes[0]:
            raise ValueError("Norm takes a value with at least one axis")
        return shapes[0][:-1]

    def forward(self, *y: Array) -> Array:
        return np.sqrt((y[0] * y[0]).sum(axis=-1))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        zero = self.forward(y[0]) == 0
        share = np.where(zero, 0, dz / np.where(zero, 1, self.forward(y[0])))
        return (y[0] * np.expand_dims(share, -1),)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ball | None:
        zero = (np.abs(y[0]) < tiny).all(axis=-1, keepdims=True)
        at = np.nonzero(np.broadcast_to(zero, y[0].shape))
        vectors = at[0] * 0 if y[0].ndim == 1 else np.ravel_multi_index(at[:-1], y[0].shape[:-1])
        return Ball.of(vectors, np.ravel_multi_index(at, y[0].shape))
