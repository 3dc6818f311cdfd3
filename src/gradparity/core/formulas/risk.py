"""The risk: Err from the divergences of all samples, weighted or not (lecture, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast
from .arguments import fits_into, is_finite, one_of, refused, true_or_false
from .choices import Choice, Slopes
from .divergences import Divergence
from .op import Op, Shape

__all__ = ["Risk", "Weighted"]


@dataclass(frozen=True)
class Weighted(Divergence):
    """A divergence with a weight per sample: Div = w inner(y, d), with w as a second output.

    ``Risk`` divides by the sum of the weights.  A weight of 0 leaves a sample out, as padding.

    Parameters
    ----------
    inner : the divergence of each sample.
    """

    inner: Divergence
    n_inputs: ClassVar[int | None] = 3
    outputs: ClassVar[tuple[str, ...]] = ("", "weight")

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Divergence) or isinstance(self.inner, Weighted):
            raise refused(self, "inner", self.inner, "a divergence without weights, such as L2()")

    def output_shape(self, *shapes: Shape) -> tuple[Shape, Shape]:
        shape = self.check_weights("weights", *shapes)
        return shape, shape

    def check_weights(self, name: str, *shapes: Shape) -> Shape:
        """The shape of Div, which the weights, an input of this name, must fit."""
        shape: Shape = self.inner.output_shape(*shapes[:2])
        if not fits_into(shapes[2], shape):
            raise ValueError(
                f"the weights {name!r} have shape {shapes[2]}, the per-sample losses {shape}; give "
                f"one weight per sample, an array of shape {shape}"
            )
        return shape

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return self.inner.desired(d, shape, dtype)

    def check_output(self, y: Array) -> None:
        self.inner.check_output(y)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return self.inner.targets(rng, shape)

    def forward(self, *y: Array) -> tuple[Array, Array]:
        Div = self.inner.forward(*y[:2])
        w = np.broadcast_to(y[2], Div.shape)
        return np.where(w == 0, 0, w * Div), w

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array | None, ...]:
        dDiv, dw = dz
        Div = self.inner.forward(*y[:2])
        w = np.broadcast_to(y[2], Div.shape)
        dy, dd = self.inner.vjp(np.where(w == 0, 0, dDiv * w), y[:2], Div)
        return dy, dd, unbroadcast(dDiv * Div + dw, y[2].shape)

    def reaching(self, dz: Any, y: tuple[Array, ...]) -> Array:
        return self.inner.reaching(dz[0], y[:2])

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Choice | None:
        choice = self.inner.subdifferential(y[:2], tiny)
        if not isinstance(choice, Slopes):
            return choice
        w = np.expand_dims(np.broadcast_to(y[2], y[0].shape[:-1]), -1)
        return Slopes(choice.at, w * choice.low, w * choice.high)


@dataclass(frozen=True)
class Risk(Op):
    """Err = (1/T) sum_t Div_t over all axes, or the sum alone; dErr/dDiv_t = 1/T, or 1.

    With weights the mean is sum_t Div_t / sum_t w_t, where Div has them in it.

    Parameters
    ----------
    reduction : "mean" (lecture) or "sum".
    scale : a factor of Err, as in mixed-precision training (loss scaling).
    weights : whether the weights are a second input.
    """

    reduction: str = "mean"
    scale: float = 1.0
    weights: bool = False

    def __post_init__(self) -> None:
        one_of(self, "reduction", ("mean", "sum"))
        true_or_false(self, "weights")
        if not is_finite(self.scale) or self.scale <= 0:
            raise refused(self, "scale", self.scale, "a positive number, such as 2.0**14")
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        return 2 if self.weights else 1

    def output_shape(self, *shapes: Shape) -> Shape:
        return ()

    def _total(self, y: tuple[Array, ...]) -> Any:
        """The divisor of the sum."""
        if self.reduction == "sum":
            return None
        return y[1].sum() if self.weights else math.prod(y[0].shape)

    def forward(self, *y: Array) -> Array:
        total = self._total(y)
        Err = y[0].sum() if total is None else y[0].sum() / total
        return Err if self.scale == 1.0 else self.scale * Err

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        total, dErr = self._total(y), dz if self.scale == 1.0 else self.scale * dz
        share = dErr if total is None else dErr / total
        dDiv = np.broadcast_to(share, y[0].shape)
        if not self.weights:
            return (dDiv,)
        if total is None:
            return dDiv, np.zeros_like(y[1])
        dw = -(share * (y[0].sum() / total))
        return dDiv, np.broadcast_to(dw, y[1].shape)
