"""Losses of probabilities: weighted, focal, on log-probabilities, and the overlap of two masks."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, usual
from ..formulas.arguments import between, is_whole, refused, true_or_false
from ..formulas.cross_entropies import CrossEntropy, OfBinaryTargets, one_hot
from ..formulas.divergences import Divergence, not_a_number
from ..formulas.op import Shape
from ..formulas.smooth import sigmoid, sigmoid_slope, softplus, softplus_slope, stable_sigmoid
from ..formulas.softmax import log_softmax
from .losses import not_negative
from .margins import check_width, class_weights, weighted

__all__ = [
    "NLL",
    "Dice",
    "KLDivergence",
    "SigmoidFocal",
    "WeightedBinaryCrossEntropy",
    "WeightedCrossEntropy",
]


def _class_weights(op: Any) -> None:
    """Weights of classes as a tuple of floats, or None; and the label that is left out."""
    class_weights(op)
    if op.ignore_index is not None:
        if not is_whole(op.ignore_index):
            raise refused(op, "ignore_index", op.ignore_index, "a whole number or None")
        object.__setattr__(op, "ignore_index", int(op.ignore_index))


def _kept(op: Any, labels: Array) -> tuple[Array, Array]:
    """The labels with 0 for those that are left out, and where one is kept."""
    kept = np.asarray(labels != op.ignore_index, dtype=bool)
    return np.where(kept, labels, 0), kept


def _some_left_out(op: Any, rng: np.random.Generator, labels: Array) -> Array:
    """Labels of a random case: a quarter is left out, where any is."""
    if op.ignore_index is None:
        return labels
    return np.where(rng.random(labels.shape) < 0.25, op.ignore_index, labels)


@dataclass(frozen=True)
class WeightedCrossEntropy(CrossEntropy):
    """Div = -sum_i w_i t_i log y_i: `CrossEntropy` with a weight per class, and a label left out.

    The gradients are those of `CrossEntropy` for the target w_i t_i.  A sample with the label
    `ignore_index` has Div = 0 and no gradient.  PyTorch's mean divides by the sum of the weights
    w_c of the samples: that is `CrossEntropy` with a weight per sample (the network's `weights`),
    w_c for the class c and 0 for a sample left out.

    Parameters
    ----------
    eps, on : as for `CrossEntropy`.
    weights : one number >= 0 for each class; None for ones.
    ignore_index : the label of samples that are left out, such as PyTorch's -100; None for none.

    >>> loss = WeightedCrossEntropy(on="probabilities", weights=(1.0, 3.0))
    >>> loss.gradient(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    array([[-0., -6.]])
    """

    weights: Sequence[float] | None = None
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _class_weights(self)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        check_width(self, shape[-1])
        if self.ignore_index is None or d.ndim != len(shape) - 1:
            return super().desired(d, shape, dtype)
        labels, kept = _kept(self, d)
        return np.where(kept[..., np.newaxis], super().desired(labels, shape, dtype), 0)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return _some_left_out(self, rng, super().targets(rng, shape))

    def smoothed(self, d: Array) -> Array:
        t = weighted(self, super().smoothed(d))
        if self.ignore_index is None:
            return t
        return np.where(d.sum(axis=-1, keepdims=True) == 0, 0, t)

    def target_gradient(self, y: Array, d: Array) -> Array:
        return weighted(self, super().target_gradient(y, d))


@dataclass(frozen=True)
class NLL(Divergence):
    """Div = -w_c y_c for the class c, on log-probabilities y;  dDiv/dy_c = -w_c, others 0.

    Parameters
    ----------
    weights, ignore_index : as in `WeightedCrossEntropy`.

    >>> NLL().forward(np.log([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    array([0.69314718])
    """

    weights: Sequence[float] | None = None
    ignore_index: int | None = None
    labels: ClassVar[bool] = True
    classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _class_weights(self)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        check_width(self, shape[-1])
        if d.shape[1:] != shape[1:-1]:
            raise ValueError(
                f"{self.name}: d has shape {d.shape}, the output {shape}; give one label for each "
                "sample"
            )
        labels, kept = _kept(self, d)
        return np.where(kept[..., np.newaxis], one_hot(labels, shape[-1], dtype), 0)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return _some_left_out(self, rng, rng.integers(0, shape[-1], shape[:-1]))

    def forward(self, y: Array, d: Array) -> Array:
        return -np.where(d > 0, weighted(self, d) * y, 0).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return -weighted(self, d)


@dataclass(frozen=True)
class KLDivergence(Divergence):
    """Div = sum_i p_i (log p_i - y_i), on log-probabilities y, for a target p;  dDiv/dy_i = -p_i.

    It is `KL` for an output that is a logarithm itself, as PyTorch's `kl_div` takes it.

    Parameters
    ----------
    log_target : whether the targets are log p too.
    """

    log_target: bool = False

    def __post_init__(self) -> None:
        true_or_false(self, "log_target")

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        not_a_number(self, d)
        if not self.log_target:
            not_negative(self, "d", d, "targets are probabilities, or give log_target=True")
        return d

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        log_p = log_softmax(rng.standard_normal(shape))
        return log_p if self.log_target else np.exp(log_p)

    def forward(self, y: Array, d: Array) -> Array:
        if self.log_target:
            return (np.exp(d) * (d - y)).sum(axis=-1)
        return np.where(d > 0, d * (_log(d) - y), 0).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return -(np.exp(d) if self.log_target else d)

    def target_gradient(self, y: Array, d: Array) -> Array:
        if self.log_target:
            return np.exp(d) * ((d - y) + 1)
        return (np.log(d) - y) + 1


def _log(d: Array) -> Array:
    return np.log(np.where(d > 0, d, 1))


def positively_weighted(y: Array, d: Array, p: Array | float) -> Array:
    """-p d log Y - (1 - d) log(1 - Y) of every element, Y = sigmoid(y)."""

    def torchs() -> Array:
        return (1 - d) * y + (1 + (p - 1) * d) * softplus(-y)

    best = p * (d * softplus(-y)) + (1 - d) * softplus(y)
    return usual(best, {"(1 - d) z + (1 + (p - 1) d) softplus(-z)": torchs})


def positively_weighted_slope(y: Array, d: Array, p: Array | float) -> Array:
    """(1 - d) Y - p d (1 - Y): the same by y."""

    def weight() -> Array:
        return 1 + (p - 1) * d

    forms = {
        "(1 - d) - (1 + (p - 1) d) sigmoid(-z)": lambda: (1 - d) - weight() * sigmoid(-y),
        "(1 + (p - 1) d) sigmoid(z) - p d": lambda: weight() * sigmoid(y) - p * d,
    }
    return usual((1 - d) * softplus_slope(y) - p * (d * softplus_slope(-y)), forms)


def positively_weighted_by_target(y: Array, d: Array, p: Array | float) -> Array:
    """log(1 - Y) - p log Y: the same by d."""
    form = {"(p - 1) softplus(-z) - z": lambda: (p - 1) * softplus(-y) - y}
    return usual(p * softplus(-y) - softplus(y), form)


@dataclass(frozen=True)
class WeightedBinaryCrossEntropy(OfBinaryTargets):
    """Div = sum_i -p d_i log Y_i - (1 - d_i) log(1 - Y_i), on logits, Y = sigmoid(z).

    dDiv/dz_i = (1 - d_i) Y_i - p d_i (1 - Y_i).

    Parameters
    ----------
    pos_weight : p, the weight of the positive class; a number >= 0.
    """

    pos_weight: float = 1.0

    def __post_init__(self) -> None:
        between(self, "pos_weight", 0.0)

    def forward(self, y: Array, d: Array) -> Array:
        return positively_weighted(y, d, self.pos_weight).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return positively_weighted_slope(y, d, self.pos_weight)

    def target_gradient(self, y: Array, d: Array) -> Array:
        return positively_weighted_by_target(y, d, self.pos_weight)


@dataclass(frozen=True)
class SigmoidFocal(OfBinaryTargets):
    """Div = -sum_i a_i (1 - q_i)^gamma log q_i, q_i the probability of what is right, on logits.

    With s = z where d = 1 and -z where d = 0, q = sigmoid(s) and dDiv/ds = -a (1 - q)^gamma
    ((1 - q) - gamma q log q) (Lin et al. 2017).

    Parameters
    ----------
    gamma : how much less a sample counts that is right already; >= 0.
    alpha : a for d = 1, and 1 - a for d = 0; None for no weights.
    """

    gamma: float = 2.0
    alpha: float | None = None

    def __post_init__(self) -> None:
        between(self, "gamma", 0.0)
        if self.alpha is not None:
            between(self, "alpha", 0.0, 1.0)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return zero_or_one(self, super().desired(d, shape, dtype))

    def _balanced(self, d: Array, x: Array) -> Array:
        if self.alpha is None:
            return x
        return np.where(d > 0, self.alpha * x, (1 - self.alpha) * x)

    def _rest(self, y: Array, d: Array) -> Array:
        """1 - q, computed as the difference."""
        q = sigmoid(y)
        return 1 - (d * q + (1 - d) * (1 - q))

    def forward(self, y: Array, d: Array) -> Array:
        s, gamma = np.where(d > 0, y, -y), self.gamma
        ce = softplus(-s)
        forms = {
            "(1 - q)^gamma ce, q = d p + (1 - d) (1 - p)": lambda: (
                _power(self._rest(y, d), gamma) * ce
            ),
            "e^(-gamma softplus(s)) ce": lambda: np.exp(-gamma * softplus(s)) * ce,
        }
        best = _power(stable_sigmoid(-s), gamma) * ce
        return self._balanced(d, usual(best, forms)).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        s, gamma = np.where(d > 0, y, -y), self.gamma
        ce, q, rest = softplus(-s), stable_sigmoid(s), stable_sigmoid(-s)

        def by_difference() -> Array:
            u, p = self._rest(y, d), sigmoid(y)
            slope = gamma * _power(u, gamma - 1) * (p * (1 - p)) * ce if gamma else 0 * y
            return -(_power(u, gamma) * rest + slope)

        def through(weight: Array) -> Array:
            return -weight * (rest + gamma * q * ce)

        forms = {
            "(1 - q)^gamma (1 - q) + gamma (1 - q)^(gamma - 1) p (1 - p) ce": by_difference,
            "e^(-gamma softplus(s)) ((1 - q) + gamma q ce)": lambda: through(
                np.exp(-gamma * softplus(s))
            ),
        }
        ds = usual(through(_power(rest, gamma)), forms)
        return self._balanced(d, np.where(d > 0, ds, -ds))


def _power(x: Array, n: float) -> Array:
    """x^n for x >= 0."""
    whole, rest = divmod(n, 1)
    if n < 0 or rest not in (0.0, 0.5):
        return np.exp(n * np.log(x))
    factors = [x] * int(whole) + [np.sqrt(x)] * (rest == 0.5)
    return functools.reduce(operator.mul, factors) if factors else np.ones_like(x)


def zero_or_one(op: Divergence, d: Array) -> Array:
    """The targets; raises ValueError for other numbers than 0 and 1."""
    other = (d != 0) & (d != 1)
    if other.any():
        index = tuple(int(i) for i in np.argwhere(other)[0])
        raise ValueError(
            f"{op.name}: d[{', '.join(map(str, index))}] = {float(d[index])!r}; targets are 0 or 1"
        )
    return d


@dataclass(frozen=True)
class Dice(OfBinaryTargets):
    """Div = 1 - (I + s) / D, I = sum_i p_i d_i, D = (sum p + sum d) / 2 + s, on logits.

    p = sigmoid(z) and the target d in [0, 1] are soft masks (Milletari et al. 2016), the sums are
    over the last axis.  dDiv/dp_i = ((I + s) / (2 D) - d_i) / D,  dDiv/dz_i = p_i (1 - p_i) of it.

    Parameters
    ----------
    smooth : s, which keeps empty masks defined; > 0.
    """

    smooth: float = 1.0

    def __post_init__(self) -> None:
        between(self, "smooth", 0.0)
        if self.smooth == 0:
            raise refused(self, "smooth", self.smooth, "a number > 0")

    def _parts(self, p: Array, d: Array) -> tuple[Array, Array]:
        """I + s and D, with a last axis of one."""
        shared = (p * d).sum(axis=-1, keepdims=True) + self.smooth
        sizes = p.sum(axis=-1, keepdims=True) + d.sum(axis=-1, keepdims=True)
        return shared, 0.5 * sizes + self.smooth

    def forward(self, y: Array, d: Array) -> Array:
        p = sigmoid(y)
        shared, size = self._parts(p, d)
        apart = (p * (1 - d) + d * sigmoid(-y)).sum(axis=-1)
        form = {"1 - (I + s) / D": lambda: 1 - (shared / size)[..., 0]}
        return usual(0.5 * apart / size[..., 0], form)

    def gradient(self, y: Array, d: Array) -> Array:
        p = sigmoid(y)
        shared, size = self._parts(p, d)
        return sigmoid_slope(y, p) * ((0.5 * (shared / size) - d) / size)
