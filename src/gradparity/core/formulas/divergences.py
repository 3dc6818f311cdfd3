"""Divergences (lecture, section 3): Div(Y, d) of each sample, and dDiv/dY.

A divergence is an op on outputs y (..., L) and targets d (..., L) that gives Div (...): one number
per sample, or per token.  Those of probabilities are in `cross_entropies`; `Risk`, in its own file,
makes Err of Div.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array
from ..arithmetic.precision import Precision
from .op import Op, Shape

__all__ = [
    "L2",
    "Divergence",
    "LinearLoss",
]


class Divergence(Op):
    """Div(Y, d) of each sample and its gradient; subclasses are frozen dataclasses.

    Anybody may write one, `forward` and `gradient`, with the NumPy functions `Bounded` supports.
    """

    n_inputs: ClassVar[int | None] = 2
    #: Whether targets may be whole numbers: labels, or 0 and 1.
    labels: ClassVar[bool] = False
    #: Whether a target may be the label of a class, one whole number for all outputs.
    classes: ClassVar[bool] = False

    def output_shape(self, *shapes: Shape) -> Any:
        return shapes[0][:-1]

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        """Targets as floats of the output's shape; raises ValueError if they cannot be."""
        if d.shape[1:] != shape[1:]:
            raise ValueError(
                f"{self.name}: d has shape {d.shape}, expected {shape} like the output"
            )
        if d.dtype.kind not in "f" and not self.labels:
            raise TypeError(
                f"{self.name}: d has dtype {d.dtype}; give floats, such as d.astype(np.float64)"
            )
        return d.astype(Precision.of(dtype).dtype)

    def check_output(self, y: Array) -> None:
        """Raises ValueError where Div is not defined for these outputs, shape (..., L)."""

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Targets for a random case whose output has this shape."""
        return rng.standard_normal(shape)

    def forward(self, y: Array, d: Array) -> Array:
        raise NotImplementedError

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        return np.expand_dims(dz, -1) * self.gradient(*y), None

    def reaching(self, dz: Any, y: tuple[Array, ...]) -> Array:
        return np.broadcast_to(np.expand_dims(dz, -1), y[0].shape)

    def gradient(self, y: Array, d: Array) -> Array:
        """dDiv/dy of each sample, shape (..., L)."""
        raise NotImplementedError

    def target_gradient(self, y: Array, d: Array) -> Array:
        """dDiv/dd of each sample, shape (..., L), where a loss has one: for `LossOfTwo`."""
        raise self._unwritten("target_gradient(self, y, d)")

    def forward_and_gradient(self, y: Array, d: Array) -> tuple[Array, Array]:
        """Both, sharing what they have in common: for the training loop."""
        return self.forward(y, d), self.gradient(y, d)


class OfDifference(Divergence):
    """A divergence of the difference y - d, without kinks."""

    def target_gradient(self, y: Array, d: Array) -> Array:
        return -self.gradient(y, d)


@dataclass(frozen=True)
class L2(OfDifference):
    """Div = 1/2 sum_i (y_i - d_i)^2;  dDiv/dy_i = y_i - d_i."""

    def forward(self, y: Array, d: Array) -> Array:
        r = y - d
        return (0.5 * r * r).sum(axis=-1)  # r * r may overflow where Div does not

    def gradient(self, y: Array, d: Array) -> Array:
        return y - d


@dataclass(frozen=True)
class LinearLoss(Divergence):
    """Div = sum_i d_i y_i;  dDiv/dy_i = d_i: any cotangent one likes, for testing one op alone."""

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)

    def forward(self, y: Array, d: Array) -> Array:
        return (d * y).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        return d + 0 * y

    def target_gradient(self, y: Array, d: Array) -> Array:
        return y + 0 * d


def not_a_number(op: Divergence, d: Array) -> None:
    """Raises ValueError for a target that is NaN."""
    bad = np.isnan(d)
    if bad.any():
        index = ", ".join(str(int(i)) for i in np.argwhere(bad)[0])
        raise ValueError(f"{op.name}: d[{index}] is nan; give finite targets")
