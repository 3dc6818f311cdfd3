"""Ops of programs beside the layers that people write: casts, losses of labels, fused products.

They are what recordings need, and no written network: see `gradparity.record`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from ..arithmetic.arrays import (
    Array,
    NDArray,
    accumulated,
    moved,
    stored,
    unbroadcast,
)
from ..formulas.arguments import one_of
from ..formulas.op import Activation, Op, Shape
from ..vocabulary.contractions import MatMul
from ..vocabulary.likelihoods import (
    positively_weighted,
    positively_weighted_by_target,
    positively_weighted_slope,
)
from ..vocabulary.pairs import Elementwise

__all__ = [
    "BinaryCrossEntropyOfEach",
    "Cast",
    "ClassNLL",
    "Coarse",
    "PlusProduct",
    "Stopped",
]


class Coarse(NamedTuple):
    """A number format with fewer digits than any that is computed in; see `stored`."""

    unit: float = 0.0
    least: float = 0.0
    largest: float = math.inf


#: Any other format.
FINE = Coarse()


@dataclass(frozen=True)
class Cast(Activation):
    """z = y in another number format;  dy = dz, cast back.

    Parameters
    ----------
    to, back : the formats of z and of dz where they are coarse, such as float8.
    """

    to: Coarse = field(default=FINE, repr=False)
    back: Coarse = field(default=FINE, repr=False)

    def f(self, z: Array) -> Array:
        return stored(z, *self.to)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return stored(dy, *self.back)


@dataclass(frozen=True)
class ClassNLL(Op):
    """z = -sum_n w[d_n] y[n, d_n] (over sum_n w[d_n] for the mean): the loss of class labels.

    dy[n, d_n] = -dz w[d_n] (over the sum of weights), and 0 elsewhere.

    Parameters
    ----------
    reduction : "mean", "sum" or "none", one number for each label.
    ignore_index : the label of samples that are left out; None for none.

    The inputs are the labels (N, ...), the weights of the classes (C,), which have no gradient, and
    y (N, C, ...), log-probabilities.
    """

    reduction: str = "mean"
    ignore_index: int | None = None
    n_inputs: ClassVar[int | None] = 3
    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        one_of(self, "reduction", ("mean", "sum", "none"))

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0] if self.reduction == "none" else ()

    def _weights(self, y: tuple[Array, ...]) -> tuple[NDArray, Array]:
        """The labels, 0 where they are ignored; and the weight of each sample, 0 there."""
        labels, weights, _ = y
        kept = np.ones(labels.shape, bool) if self.ignore_index is None else (
            labels != self.ignore_index
        )  # fmt: skip
        labels = np.where(kept, labels, 0)
        w = moved(weights, lambda a, _: a[labels])
        return labels, np.where(kept, w, 0)

    def _total(self, w: Array) -> Array:
        return w.sum() if w.ndim else w

    def forward(self, *y: Array) -> Array:
        labels, w = self._weights(y)
        at = np.expand_dims(labels, 1 if y[2].ndim > 1 else 0)
        axis = 1 if y[2].ndim > 1 else 0
        picked = moved(y[2], lambda a, _: np.take_along_axis(a, at, axis).reshape(labels.shape))
        each = -(w * picked)
        if self.reduction == "none":
            return each
        total = each.sum() if each.ndim else each
        return total / self._total(w) if self.reduction == "mean" else total

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        labels, w = self._weights(y)
        axis = 1 if y[2].ndim > 1 else 0
        share = -(w * dz)
        if self.reduction == "mean":
            share = share / self._total(w)
        at, shape = np.expand_dims(labels, axis), y[2].shape

        def back(a: NDArray, fill: float) -> NDArray:
            out = np.zeros(shape, a.dtype)
            np.put_along_axis(out, at, a.reshape(at.shape), axis)
            return out

        return None, None, moved(share, back)


class BinaryCrossEntropyOfEach(Elementwise):
    """z = -p d log sigmoid(y) - (1 - d) log sigmoid(-y);  dy = dz ((1 - d) Y - p d (1 - Y)).

    The inputs are y, the targets d, which have a gradient, and the weights p of positive targets,
    which have none.
    """

    n_inputs: ClassVar[int | None] = 3

    def f(self, *y: Array) -> Array:
        return positively_weighted(*y)

    def shares(self, dz: Array, *y: Array) -> tuple[Array | None, ...]:
        return dz * positively_weighted_slope(*y), dz * positively_weighted_by_target(*y), None


@dataclass(frozen=True)
class PlusProduct(Op):
    """z = beta c + alpha a b, as one sum;  dc = beta dz,  da = alpha dz b^T,  db = alpha a^T dz.

    The inputs are a, b and c, which is broadcast.
    """

    beta: float = 1.0
    alpha: float = 1.0
    n_inputs: ClassVar[int | None] = 3

    def output_shape(self, *shapes: Shape) -> Shape:
        return MatMul().output_shape(*shapes[:2])

    def forward(self, *y: Array) -> Array:
        a, b, c = y
        z = MatMul().forward(a, b)
        z = z if self.alpha == 1.0 else z * self.alpha
        c = c if self.beta == 1.0 else c * self.beta
        return accumulated(z, np.broadcast_to(c, z.shape), a.shape[-1])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        da, db = MatMul().vjp(dz, y[:2], z)
        if self.alpha != 1.0:
            da, db = da * self.alpha, db * self.alpha
        dc = unbroadcast(dz, y[2].shape)
        return da, db, dc if self.beta == 1.0 else dc * self.beta


class Stopped(Activation):
    """z = y, and no gradient: dy = 0."""

    @property
    def zero_gradient(self) -> bool:
        return True

    def f(self, z: Array) -> Array:
        return z

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return np.zeros_like(dy)
