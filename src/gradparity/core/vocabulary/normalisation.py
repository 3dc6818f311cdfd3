"""Normalisation over other axes than those of `LayerNorm` and `BatchNorm`, and without a mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, usual
from ..formulas.arguments import above_zero, axes_in, between, fits, positive, refused, whole
from ..formulas.norms import Normalisation
from ..formulas.op import Op, Shape
from .reductions import VectorNorm

__all__ = ["GroupNorm", "InstanceNorm", "L2Normalise", "RMSNorm", "WeightNorm"]


@dataclass(frozen=True)
class RMSNorm(Normalisation):
    """z = g x / sqrt(mean x^2 + eps) over the last axis (Zhang and Sennrich 2019).

    With h = x / sqrt(mean x^2 + eps) and dh = dz g:
    dx = (dh - h mean(dh h)) / sqrt(mean x^2 + eps);  dg = sum dz h.

    Parameters
    ----------
    n : width of the last axis; g has shape (n,).
    eps : added to the mean square.

    >>> RMSNorm(2, eps=0.0).forward(np.array([[1.0, 7.0]]), np.ones(2))
    array([[0.2, 1.4]])
    """

    n: int
    eps: float = 1e-5
    centred: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive(self, "n")
        between(self, "eps", 0)

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"g": (self.n,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        fits(self, shapes[0], self.n)
        return shapes[0]

    def _inverse(self, x: Array) -> Array:
        """1 / sqrt(mean x^2 + eps)."""
        return self.inverse_deviation((x * x).mean(axis=-1, keepdims=True))

    def through_statistics(self, dh: Array, c: Array, r: Array, axes: Any) -> Array:
        """dx from the gradient by h = c r: r (dh - h mean(dh h))."""
        h = c * r
        return r * (dh - h * (dh * h).mean(axis=axes, keepdims=True))

    def forward(self, *y: Array) -> Array:
        x, g = y
        return x * self._inverse(x) * g

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, g = y
        r = self._inverse(x)
        dx = self.through_statistics(dz * g, x, r, -1)
        return dx, (dz * (x * r)).sum(axis=tuple(range(dz.ndim - 1)))


class OverGroups(Normalisation):
    """A normalisation of every sample over groups of its channels and all further axes."""

    n: int
    groups: int

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"g": (self.n,), "b": (self.n,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if len(shape) < 2 or shape[1] != self.n:
            raise ValueError(
                f"{self.name} takes {self.n} channels on axis 1, received shape {shape}"
            )
        if math.prod(shape[1:]) == self.groups:
            raise ValueError(f"{self.name}: shape {shape} has one number per group; give more")
        return shape

    def _grouped(self, x: Array) -> Array:
        """Every group as one axis, the last."""
        return x.reshape(x.shape[0], self.groups, math.prod(x.shape[1:]) // self.groups)

    def _beside(self, p: Array, x: Array) -> Array:
        """A number per channel, of all samples or of each, in a shape that broadcasts against x."""
        return p.reshape(-1, self.n, *[1] * (x.ndim - 2))

    def forward(self, *y: Array) -> Array:
        x, g, b = y
        c, r, mean, _ = self._centred(self._grouped(x), -1)
        gain, shift = self._beside(g, x), self._beside(b, x)

        def form() -> Array:
            each = self.n // self.groups
            r_each, mean_each = (self._beside(np.repeat(a, each, axis=1), x) for a in (r, mean))
            scale = r_each * gain
            return x * scale + (shift - mean_each * scale)

        # PyTorch's form cancels where x is near the mean.
        form_of_torch = {"x g r + (b - mean g r)": form}
        return usual((c * r).reshape(*x.shape) * gain + shift, form_of_torch)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, g, _ = y
        c, r, *_ = self._centred(self._grouped(x), -1)
        dh = self._grouped(dz * self._beside(g, x))
        dx = self.through_statistics(dh, c, r, -1).reshape(*x.shape)
        others = (0, *range(2, x.ndim))
        return dx, (dz * (c * r).reshape(*x.shape)).sum(axis=others), dz.sum(axis=others)


@dataclass(frozen=True)
class GroupNorm(OverGroups):
    """z = g (x - mean) / sqrt(var + eps) + b over groups of channels (Wu and He 2018).

    The channels are on axis 1, a group's side by side; the mean and the variance are those of one
    sample's group over all further axes.  dx as in `LayerNorm`;  dg = sum dz h,  db = sum dz.

    Parameters
    ----------
    n : channels, the length of axis 1; g and b have shape (n,).
    groups : a divisor of n; 1 normalises a whole sample.
    eps : added to the variance.

    >>> GroupNorm(4, 2).output_shape((5, 4, 3), (4,), (4,))
    (5, 4, 3)
    """

    n: int
    groups: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        positive(self, "n", "groups")
        if self.n % self.groups:
            raise refused(self, "groups", self.groups, f"a divisor of n = {self.n}")
        between(self, "eps", 0)


@dataclass(frozen=True)
class InstanceNorm(OverGroups):
    """`GroupNorm` with one channel in each group (Ulyanov et al. 2016).

    Parameters
    ----------
    n : channels, the length of axis 1; g and b have shape (n,).
    eps : added to the variance.

    >>> z = InstanceNorm(1, eps=0.0).forward(np.array([[[1.0, 3.0]]]), np.ones(1), np.zeros(1))
    >>> z
    array([[[-1.,  1.]]])
    """

    n: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        positive(self, "n")
        between(self, "eps", 0)

    @property
    def groups(self) -> int:  # type: ignore[override]
        """The number of groups: one for each channel."""
        return self.n


@dataclass(frozen=True)
class L2Normalise(Op):
    """z = y / max(|y|, eps), |y| the Euclidean norm along an axis.

    Where |y| >= eps: dy = (dz - z sum(dz z)) / |y|;  elsewhere dy = dz / eps.  A norm that only
    rounding puts on one side of eps is not judged as a kink.

    Parameters
    ----------
    axis : along which |y| is taken, the last by default.
    eps : the least number that y is divided by; positive.

    >>> L2Normalise().forward(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """

    axis: int = -1
    eps: float = 1e-12

    def __post_init__(self) -> None:
        whole(self, "axis")
        above_zero(self, "eps")

    def output_shape(self, *shapes: Shape) -> Shape:
        axes_in(self, self.axis, shapes[0])
        return shapes[0]

    @property
    def thresholds(self) -> tuple[float, ...]:
        return (self.eps,)

    def _length(self, y: Array) -> Array:
        return VectorNorm(self.axis).kept(y)

    def forward(self, *y: Array) -> Array:
        return y[0] / np.maximum(self._length(y[0]), self.eps)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        length = self._length(y[0])
        divisor = np.maximum(length, self.eps)
        h = y[0] / divisor
        along = (dz * h).sum(axis=self.axis, keepdims=True)
        return (np.where(length >= self.eps, dz - h * along, dz) / divisor,)


@dataclass(frozen=True)
class WeightNorm(Op):
    """W = g v / |v|, |v| the norm over all axes but the first (Salimans and Kingma 2016).

    With h = v / |v|: dg = sum dW h;  dv = g (dW - h sum(dW h)) / |v|.  At v = 0 both are NaN.

    The inputs are v (n, ...), such as a kernel, and g (n, 1, ...).

    >>> WeightNorm().forward(np.array([[3.0, 4.0]]), np.array([[10.0]]))
    array([[6., 8.]])
    """

    n_inputs: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        v, g = shapes
        if len(v) < 2 or g != (v[0], *[1] * (len(v) - 1)):
            raise ValueError(f"{self!r} takes v (n, ...) and g (n, 1, ...), received {v} and {g}")
        return v

    def _length(self, v: Array) -> Array:
        """|v| in the shape of g."""
        kept = VectorNorm(-1).kept(v.reshape(v.shape[0], math.prod(v.shape[1:])))
        return kept.reshape(v.shape[0], *[1] * (v.ndim - 1))

    def forward(self, *y: Array) -> Array:
        v, g = y
        return g * (v / self._length(v))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        v, g = y
        length = self._length(v)
        h = v / length
        dg = (dz * h).sum(axis=tuple(range(1, v.ndim)), keepdims=True)
        return g / length * (dz - h * dg), dg
