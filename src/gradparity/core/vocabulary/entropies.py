"""Relatives of cross-entropy and of the Kullback-Leibler divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, usual
from ..formulas.arguments import finite
from ..formulas.cross_entropies import CrossEntropy
from ..formulas.divergences import Divergence, not_a_number
from ..formulas.op import Shape
from ..formulas.softmax import Exponentials, log_softmax, softmax_vjp
from .likelihoods import KLDivergence
from .losses import not_negative

__all__ = ["GeneralizedKL", "PolyCrossEntropy"]


@dataclass(frozen=True)
class PolyCrossEntropy(Divergence):
    """Div = -sum_i t_i log Y_i + a sum_i t_i (1 - Y_i), Y = softmax(y) (Leng et al. 2022).

    dDiv/dy_i = Y_i sum_j t_j - t_i - a Y_i (t_i - sum_j t_j Y_j).

    Parameters
    ----------
    a : the weight of the second term, epsilon in Optax.

    >>> PolyCrossEntropy(0.0).forward(np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    array([0.69314718])
    """

    a: float = 2.0
    labels: ClassVar[bool] = True
    classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        finite(self, "a")

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return CrossEntropy().desired(d, shape, dtype)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return CrossEntropy().targets(rng, shape)

    def forward(self, y: Array, d: Array) -> Array:
        of = Exponentials.of(y)
        left = np.where(of.first, of.rest / of.total, 1 - of.e / of.total)
        left = usual(left, {"1 - Y": lambda: 1 - of.e / of.total})
        return CrossEntropy().forward(y, d) + self.a * (d * left).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        of = Exponentials.of(y)
        return of.loss_gradient(d) - self.a * softmax_vjp(d, of.e / of.total, -1)


@dataclass(frozen=True)
class GeneralizedKL(Divergence):
    """Div = sum_i p_i (log p_i - y_i) + e^{y_i} - p_i, for targets p >= 0.

    dDiv/dy_i = e^{y_i} - p_i.  It is `KLDivergence` for logarithms y of numbers that need not sum
    to one.

    >>> GeneralizedKL().forward(np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    array([1.])
    """

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        not_a_number(self, d)
        not_negative(self, "d", d, "targets are numbers >= 0")
        return d

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return np.exp(log_softmax(rng.standard_normal(shape)))

    def forward(self, y: Array, d: Array) -> Array:
        return KLDivergence().forward(y, d) + (np.exp(y) - d).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return np.exp(y) - d

    def target_gradient(self, y: Array, d: Array) -> Array:
        return np.log(d) - y
