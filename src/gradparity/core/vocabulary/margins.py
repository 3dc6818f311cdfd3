"""Losses of margins: hinges and their smooth relatives, for targets -1 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.arguments import finite, is_finite, listed, refused
from ..formulas.choices import Slopes
from ..formulas.cross_entropies import BinaryCrossEntropy, OfBinaryTargets, one_hot
from ..formulas.divergences import Divergence
from ..formulas.op import Shape
from ..formulas.smooth import softplus, softplus_slope

__all__ = [
    "HingeEmbedding",
    "HingeLoss",
    "MultiLabelSoftMargin",
    "MultiMargin",
    "SoftMargin",
    "SquaredHinge",
]


def class_weights(op: Any) -> None:
    """Weights of classes as a tuple of floats, or None."""
    weights = op.weights
    if weights is not None:
        found = listed(weights)
        if not found or not all(is_finite(w) and w >= 0 for w in found):
            raise refused(op, "weights", weights, "one number >= 0 for each class, or None")
        object.__setattr__(op, "weights", tuple(float(w) for w in found))


def check_width(op: Any, K: int) -> None:
    """Raises ValueError where there are not as many weights as classes."""
    if op.weights is not None and len(op.weights) != K:
        raise ValueError(
            f"{op.name}: there are {len(op.weights)} weights and {K} classes; give one weight for "
            "each class"
        )


def weighted(op: Any, t: Array) -> Array:
    """The target t (..., K), each class times its weight."""
    if op.weights is None:
        return t
    parts = [w * t[..., i : i + 1] for i, w in enumerate(op.weights)]
    return np.concatenate(parts, axis=-1)


class OfSigns(Divergence):
    """A divergence whose targets are -1 or 1."""

    labels: ClassVar[bool] = True

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        other = abs(d) != 1
        if other.any():
            index = tuple(int(i) for i in np.argwhere(other)[0])
            raise ValueError(
                f"{self.name}: d[{', '.join(map(str, index))}] = {float(d[index])!r}; targets are "
                "-1 or 1 (2 d - 1 makes them of 0 and 1)"
            )
        return d

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.choice([-1.0, 1.0], shape)


class Hinge(OfSigns):
    """Div = sum_i max(0, margin - d_i y_i), d_i = -1 or 1: `HingeLoss` and `MarginRanking`."""

    margin: float

    def forward(self, y: Array, d: Array) -> Array:
        return np.maximum(self.margin - d * y, 0).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return np.where(d * y < self.margin, -d, 0)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        d = y[1]
        at = np.abs(d * y[0] - self.margin) < tiny
        return Slopes(at, np.minimum(-d, 0), np.maximum(-d, 0)) if at.any() else None


@dataclass(frozen=True)
class HingeLoss(Hinge):
    """Div = sum_i max(0, 1 - d_i y_i), d_i = -1 or 1;  dDiv/dy_i = -d_i where d_i y_i < 1, else 0.

    At d_i y_i = 1 anything between 0 and -d_i is valid; this divergence takes 0.

    >>> HingeLoss().forward(np.array([[0.5, 3.0]]), np.array([[1.0, -1.0]]))
    array([4.5])
    """

    margin: ClassVar[float] = 1.0  # type: ignore[misc]


@dataclass(frozen=True)
class SquaredHinge(OfSigns):
    """Div = sum_i max(0, 1 - d_i y_i)^2, d_i = -1 or 1;  dDiv/dy_i = -2 d_i max(0, 1 - d_i y_i)."""

    def forward(self, y: Array, d: Array) -> Array:
        m = np.maximum(1 - d * y, 0)
        return (m * m).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return -2.0 * d * np.maximum(1 - d * y, 0)


@dataclass(frozen=True)
class HingeEmbedding(OfSigns):
    """Div = sum_i y_i where d_i = 1, and max(0, margin - y_i) where d_i = -1.

    dDiv/dy_i = 1 where d_i = 1; else -1 where y_i < margin and 0 above.  At y_i = margin anything
    in [-1, 0] is valid; this divergence takes 0.

    Parameters
    ----------
    margin : up to which a distance y_i of unlike things is penalised.
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        finite(self, "margin")

    def forward(self, y: Array, d: Array) -> Array:
        return np.where(d > 0, y, np.maximum(self.margin - y, 0)).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        one = np.ones_like(y)
        return np.where(d > 0, one, np.where(y < self.margin, -one, 0))

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        at = (y[1] < 0) & (np.abs(y[0] - self.margin) < tiny)
        one = np.ones(at.shape)
        return Slopes(at, -one, 0 * one) if at.any() else None


@dataclass(frozen=True)
class SoftMargin(OfSigns):
    """Div = sum_i log(1 + e^{-d_i y_i}), d_i = -1 or 1;  dDiv/dy_i = -d_i sigmoid(-d_i y_i).

    >>> SoftMargin().forward(np.array([[-100.0]], "float32"), np.array([[1.0]], "float32"))
    array([100.], dtype=float32)
    """

    def forward(self, y: Array, d: Array) -> Array:
        return softplus(-d * y).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return -d * softplus_slope(-d * y)


@dataclass(frozen=True)
class MultiLabelSoftMargin(OfBinaryTargets):
    """Div = the mean over L labels of the binary cross-entropy on logits, d_i in [0, 1].

    dDiv/dz_i = (sigmoid(z_i) - d_i) / L.
    """

    def forward(self, y: Array, d: Array) -> Array:
        return BinaryCrossEntropy().forward(y, d) / y.shape[-1]

    def gradient(self, y: Array, d: Array) -> Array:
        return BinaryCrossEntropy().gradient(y, d) / y.shape[-1]


@dataclass(frozen=True)
class MultiMargin(Divergence):
    """Div = (w_c/K) sum_{i != c} max(0, margin - y_c + y_i)^2 for the class c of K.

    dDiv/dy_i = (2 w_c/K) max(0, margin - y_c + y_i) for i != c, and minus the sum of these at c.
    This is the square (p = 2 in PyTorch); the hinge p = 1 has kinks that couple two outputs: see
    `PairwiseMargin`.

    Parameters
    ----------
    margin : by which the score of the class should exceed the others.
    weights : one number >= 0 for each class; None for ones.

    >>> MultiMargin().forward(np.array([[2.0, 1.5]]), np.array([[1.0, 0.0]]))
    array([0.125])
    """

    margin: float = 1.0
    weights: Sequence[float] | None = None
    labels: ClassVar[bool] = True
    classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        finite(self, "margin")
        class_weights(self)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        check_width(self, shape[-1])
        if d.shape[1:] != shape[1:-1]:
            raise ValueError(
                f"{self.name}: d has shape {d.shape}, the output {shape}; give one label for each "
                "sample"
            )
        return one_hot(d, shape[-1], dtype)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.integers(0, shape[-1], shape[:-1])

    def _excess(self, y: Array, d: Array) -> Array:
        """max(0, margin - y_c + y_i), and 0 at the class."""
        own = np.where(d > 0, y, 0).sum(axis=-1, keepdims=True)
        return np.where(d > 0, 0, np.maximum((self.margin - own) + y, 0))

    def forward(self, y: Array, d: Array) -> Array:
        m = self._excess(y, d)
        return self._weight(d)[..., 0] * (m * m).sum(axis=-1) / y.shape[-1]

    def _weight(self, d: Array) -> Array:
        """w_c, with an axis of one element."""
        return weighted(self, d).sum(axis=-1, keepdims=True)

    def gradient(self, y: Array, d: Array) -> Array:
        m = self._weight(d) * (2.0 * self._excess(y, d)) / y.shape[-1]
        return np.where(d > 0, -m.sum(axis=-1, keepdims=True), m)
