"""Losses of distances, of rankings, of a mean with a variance, and of two values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast, usual
from ..formulas.arguments import above_zero, between, finite, positive, refused, true_or_false
from ..formulas.choices import Slopes
from ..formulas.cross_entropies import OfBinaryTargets
from ..formulas.divergences import Divergence
from ..formulas.layers import Add, Multiply
from ..formulas.maxima import Max
from ..formulas.movements import Reshape, Select, Sum
from ..formulas.op import Compound, Op, Shape
from ..formulas.piecewise import ReLU
from .likelihoods import zero_or_one
from .losses import L1
from .margins import Hinge
from .normalisation import L2Normalise
from .pairs import Elementwise, Minimum, Subtract, Where
from .pointwise import Scale
from .reductions import VectorNorm

__all__ = [
    "Contrastive",
    "CosineEmbedding",
    "GaussianNLL",
    "LossOfTwo",
    "MarginRanking",
    "MulticlassHinge",
    "PairwiseMargin",
    "TripletMargin",
]


@dataclass(frozen=True)
class MarginRanking(Hinge):
    """Div = sum_i max(0, margin - d_i y_i), y the difference of two scores, d_i = -1 or 1.

    dDiv/dy_i = -d_i where d_i y_i < margin, else 0; at d_i y_i = margin anything between is valid.
    `Subtract` as a node before it makes y of the two scores, and carries the gradient to both.
    With the margin 1 it is `HingeLoss`.

    Parameters
    ----------
    margin : by which the first score should be above the second (d_i = 1), or below it.

    >>> MarginRanking(0.5).forward(np.array([[0.25, 3.0]]), np.array([[1.0, -1.0]]))
    array([3.75])
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        finite(self, "margin")


@dataclass(frozen=True)
class Contrastive(OfBinaryTargets):
    """Div = sum_i d_i y_i^2 + (1 - d_i) max(0, margin - y_i)^2, y_i the distance of a pair.

    d_i = 1 for a pair that belongs together, 0 for one that does not (Hadsell et al. 2006, without
    its factor 1/2).  dDiv/dy_i = 2 d_i y_i - 2 (1 - d_i) max(0, margin - y_i), which has no kink:
    that of the distance itself is judged at the node that computes it, such as `VectorNorm`.

    Parameters
    ----------
    margin : up to which the distance of a pair that does not belong together is penalised; > 0.

    >>> Contrastive(2.0).forward(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    array([2.5])
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        above_zero(self, "margin")

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return zero_or_one(self, super().desired(d, shape, dtype))

    def forward(self, y: Array, d: Array) -> Array:
        m = np.maximum(self.margin - y, 0)
        return np.where(d > 0, y * y, m * m).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return 2.0 * np.where(d > 0, y, -np.maximum(self.margin - y, 0))


@dataclass(frozen=True)
class GaussianNLL(Elementwise):
    """z = (log v + (a - t)^2 / v) / 2, v = max(variance, eps): an op of three values.

    The inputs are the mean a, the target t and the variance, in this order, as PyTorch's; they are
    broadcast.  da = dz (a - t) / v = -dt,  dvariance = dz (v - (a - t)^2) / (2 v^2) where the
    variance is >= eps, else 0.  At eps anything between the two is valid.

    Parameters
    ----------
    eps : the least variance; > 0.
    full : whether to add log(2 pi) / 2, which has no gradient.
    straight_through : whether a variance below eps has the gradient of eps, as PyTorch's
        `gaussian_nll_loss`, which clamps it unseen by autograd; not the derivative there.

    >>> GaussianNLL().forward(np.array([1.0]), np.array([3.0]), np.array([1.0]))
    array([2.])
    """

    eps: float = 1e-6
    full: bool = False
    straight_through: bool = False
    n_inputs: ClassVar[int | None] = 3

    def __post_init__(self) -> None:
        above_zero(self, "eps")
        true_or_false(self, "full", "straight_through")

    def _clamped(self, variance: Array) -> Array:
        return np.maximum(variance, self.eps + 0 * variance)

    def f(self, *y: Array) -> Array:
        a, t, variance = y
        r, v = a - t, self._clamped(variance)
        z = 0.5 * (np.log(v) + r * r / v)
        return z + 0.5 * math.log(2 * math.pi) if self.full else z

    def _slope(self, *y: Array) -> Array:
        """dz/dv."""
        a, t, variance = y
        r, v = a - t, self._clamped(variance)
        best = 0.5 * ((v - r * r) / v / v)
        return usual(best, {"(1/v - r^2 / v^2) / 2": lambda: 0.5 * (1 / v - r * r / v / v)})

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        a, t, variance = y
        da = dz * ((a - t) / self._clamped(variance))
        dv = dz * self._slope(*y)
        return da, -da, dv if self.straight_through else np.where(variance >= self.eps, dv, 0)

    def reaching(self, dz: Array, y: tuple[Array, ...]) -> Array:
        return unbroadcast(dz * self._slope(*y), y[2].shape)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        at = y[2] == self.eps
        if self.straight_through or not at.any():
            return None
        return Slopes(at, np.zeros(at.shape), np.ones(at.shape), input=2)


@dataclass(frozen=True)
class LossOfTwo(Op):
    """z = Div(y, d), a loss per sample as an op of two values; dy = dz dDiv/dy, dd = dz dDiv/dd.

    It is for targets that are computed and have a gradient, as in distillation: a network's own
    divergence has none for its targets.  The inputs are y and d, of one shape (..., L); z has the
    shape (...).

    Parameters
    ----------
    loss : a divergence with a `target_gradient`: of numbers (not `L1`, whose kink couples y and d:
        write `Subtract` as a node, and `L1` with targets of 0), or of probabilities as targets.

    >>> from gradparity.ops import SquaredError
    >>> op, y = LossOfTwo(SquaredError()), (np.array([[3.0]]), np.array([[1.0]]))
    >>> op.vjp(np.ones(1), y, op.forward(*y))
    (array([[4.]]), array([[-4.]]))
    """

    loss: Divergence
    n_inputs: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        if (
            not isinstance(self.loss, Divergence)
            or type(self.loss).target_gradient is Divergence.target_gradient
        ):
            give = "a loss with a gradient by its target, such as L2() or KLDivergence()"
            if isinstance(self.loss, L1):
                give += "; for L1() write Subtract() as a node, and L1() with targets of 0"
            raise refused(self, "loss", self.loss, give)

    def output_shape(self, *shapes: Shape) -> Shape:
        y, d = shapes
        if y != d or not y:
            raise ValueError(
                f"{self!r} takes two values of one shape (..., L), received {y} and {d}"
            )
        return y[:-1]

    def forward(self, *y: Array) -> Array:
        return self.loss.forward(*y)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        dz = np.expand_dims(dz, -1)
        return dz * self.loss.gradient(*y), dz * self.loss.target_gradient(*y)


@dataclass(frozen=True)
class TripletMargin(Compound):
    """z = max(0, margin + |a - p| - |a - n|) of anchor, positive and negative.

    It stands for nodes of `Subtract`, `Scale`, `VectorNorm` and `ReLU`, so that the kinks of the
    norms and of the hinge are each judged where they are.  It is
    a loss of each sample: a network can end at its mean.

    The inputs are the anchor a, the positive p and the negative n, of one shape (..., L); z has the
    shape (...).

    Parameters
    ----------
    margin : by which the negative should be farther away than the positive; > 0.
    p : order of the norm |.|, >= 1.
    eps : added to each element of a difference, as PyTorch does; >= 0.
    swap : whether |p - n| counts in place of |a - n| where it is smaller (Balntas et al. 2016).
    """

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False

    def __post_init__(self) -> None:
        above_zero(self, "margin")
        between(self, "p", 1.0)
        between(self, "eps", 0.0)
        true_or_false(self, "swap")

    def chain(self) -> tuple[tuple[str, Op], ...]:
        return tuple((suffix, op) for suffix, op, _ in self.graph())

    def graph(self) -> tuple[tuple[str, Op, tuple[int | str, ...]], ...]:
        unlike = "_an"
        nodes = [*self._distance("_ap", 0, 1), *self._distance("_an", 0, 2)]
        if self.swap:
            unlike = "_least"
            nodes += [*self._distance("_pn", 1, 2), (unlike, Minimum(ties="even"), ("_an", "_pn"))]
        nodes.append(("_apart", Subtract(), ("_ap", unlike)))
        excess = ("_excess", Scale(1.0, self.margin), ("_apart",))
        return *nodes, excess, ("", ReLU(subgradient="left"), ("_excess",))

    def _distance(self, name: str, a: int, b: int) -> list[tuple[str, Op, tuple[int | str, ...]]]:
        """The nodes of |a - b + eps|, of two inputs by number."""
        difference = f"{name}_less"
        nodes: list[tuple[str, Op, tuple[int | str, ...]]] = [(difference, Subtract(), (a, b))]
        if self.eps:
            nodes.append((f"{name}_eps", Scale(1.0, self.eps), (difference,)))
        return [*nodes, (name, VectorNorm(order=self.p), (nodes[-1][0],))]


@dataclass(frozen=True)
class CosineEmbedding(Compound):
    """z = 1 - cos(a, b) for a pair that belongs together, max(0, cos(a, b) - margin) for others.

    It stands for nodes of `L2Normalise`, `Multiply`, `Sum`, `Scale`, `ReLU` and `Where`, so that
    the kink at the margin is judged where it is.

    The inputs are a mask (...), 1 for pairs that belong together and 0 for others, and a and b,
    of one shape (..., L); z has the shape (...).

    Parameters
    ----------
    margin : up to which a pair that does not belong together may be similar, between -1 and 1.
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        between(self, "margin", -1.0, 1.0)

    def chain(self) -> tuple[tuple[str, Op], ...]:
        return tuple((suffix, op) for suffix, op, _ in self.graph())

    def graph(self) -> tuple[tuple[str, Op, tuple[int | str, ...]], ...]:
        return (
            ("_a", L2Normalise(), (1,)),
            ("_b", L2Normalise(), (2,)),
            ("_ab", Multiply(), ("_a", "_b")),
            ("_cos", Sum(-1), ("_ab",)),
            ("_apart", Scale(-1.0, 1.0), ("_cos",)),
            ("_excess", Scale(1.0, -self.margin), ("_cos",)),
            ("_hinge", ReLU(subgradient="left"), ("_excess",)),
            ("", Where(), (0, "_apart", "_hinge")),
        )


@dataclass(frozen=True)
class MulticlassHinge(Compound):
    """z = max_i (y_i + margin (1 - d_i)) - sum_i d_i y_i (Crammer and Singer 2001).

    With the margin 0 it is the loss of the perceptron of several classes.  It stands for nodes of
    `Scale`, `Add`, `Max`, `Multiply`, `Sum` and `Subtract`, so that ties are judged at the maximum.

    The inputs are y and d, of one shape (..., n), d 1 at the class and 0 elsewhere; z has the
    shape (...).

    Parameters
    ----------
    margin : by which the score of the class should exceed the others; >= 0.
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        between(self, "margin", 0.0)

    def chain(self) -> tuple[tuple[str, Op], ...]:
        return tuple((suffix, op) for suffix, op, _ in self.graph())

    def graph(self) -> tuple[tuple[str, Op, tuple[int | str, ...]], ...]:
        raised: tuple[tuple[str, Op, tuple[int | str, ...]], ...] = (
            ("_slack", Scale(-self.margin, self.margin), (1,)),
            ("_raised", Add(), (0, "_slack")),
        )
        return (
            *(raised if self.margin else ()),
            ("_max", Max(), ("_raised" if self.margin else 0,)),
            ("_largest", Select(0, -1), ("_max",)),
            ("_dy", Multiply(), (0, 1)),
            ("_own", Sum(-1), ("_dy",)),
            ("", Subtract(), ("_largest", "_own")),
        )


@dataclass(frozen=True)
class PairwiseMargin(Compound):
    """z = (1/n) sum_{j: d_j = 1} sum_{i: d_i = 0} max(0, margin - y_j + y_i).

    With one class for each sample it is PyTorch's `MultiMarginLoss` for p = 1, and with several its
    `MultiLabelMarginLoss`.  A hinge couples two outputs at its kink, so it stands for nodes of
    `Subtract`, `Scale`, `ReLU`, `Multiply`, `Sum` and `Reshape`, each judged where it is.

    The inputs are y and d, both (T, n), d of 0 and 1; z has the shape (T,).

    Parameters
    ----------
    n : the number of classes.
    margin : by which the score of a class of the sample should exceed that of any other.
    """

    n: int
    margin: float = 1.0

    def __post_init__(self) -> None:
        positive(self, "n")
        finite(self, "margin")

    def chain(self) -> tuple[tuple[str, Op], ...]:
        return tuple((suffix, op) for suffix, op, _ in self.graph())

    def graph(self) -> tuple[tuple[str, Op, tuple[int | str, ...]], ...]:
        rows, columns = Reshape((self.n, 1)), Reshape((1, self.n))
        return (
            ("_yj", rows, (0,)),
            ("_yi", columns, (0,)),
            ("_less", Subtract(), ("_yi", "_yj")),
            ("_excess", Scale(1.0, self.margin), ("_less",)),
            ("_hinge", ReLU(subgradient="left"), ("_excess",)),
            ("_dj", rows, (1,)),
            ("_not", Scale(-1.0, 1.0), (1,)),
            ("_di", columns, ("_not",)),
            ("_pair", Multiply(), ("_dj", "_di")),
            ("_each", Multiply(), ("_hinge", "_pair")),
            ("_sum", Sum((1, 2)), ("_each",)),
            ("", Scale(1 / self.n), ("_sum",)),
        )
