"""Norms of vectors; and normalisation: a mean and a variance out, a scale and a shift in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, usual
from .arguments import between, fits, positive, true_or_false
from .choices import Ball
from .op import Op, Shape

__all__ = ["BatchNorm", "LayerNorm", "Norm", "Normalisation"]


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


def variance(x: Array, axes: Any) -> tuple[Array, Array, Array]:
    """x - mean, the mean and the mean of (x - mean)^2, over axes that are kept."""
    mean = _mean(x, axes)
    c = x - mean
    # Flax adds up x and x^2 in one pass, which cancels where the mean exceeds the deviation.
    one_pass = {"mean x^2 - (mean x)^2": lambda: np.maximum(_mean(x * x, axes) - mean * mean, 0)}
    return c, mean, usual(_mean(c * c, axes), one_pass)


def _mean(x: Array, axes: Any) -> Array:
    """The mean over axes that are kept; NaN, without a warning, where there is nothing in them."""
    if all(x.shape):
        return x.mean(axis=axes, keepdims=True)
    total = x.sum(axis=axes, keepdims=True)
    return total * (math.nan if math.prod(total.shape) else 1.0)


class Normalisation(Op):
    """An op with a scale g, a shift b and perhaps the statistics m and v.

    `inverse_deviation` and `through_statistics` belong together: a variant replaces both.
    """

    eps: float
    #: Whether the mean is subtracted.
    centred: ClassVar[bool] = True

    def inverse_deviation(self, var: Array) -> Array:
        """1 / sqrt(var + eps)."""
        return 1.0 / np.sqrt(var + self.eps)

    def through_statistics(self, dh: Array, c: Array, r: Array, axes: Any) -> Array:
        """dx from the gradient by h = c r: r (dh - mean dh - h mean(dh h))."""
        h = c * r
        return r * (dh - _mean(dh, axes) - h * _mean(dh * h, axes))

    def _centred(self, x: Array, axes: Any) -> tuple[Array, Array, Array, Array]:
        """x - mean, the inverse deviation, and the mean and the variance, over these axes."""
        c, mean, var = variance(x, axes)
        return c, self.inverse_deviation(var), mean, var

    def initial(self, letter: str, rng: np.random.Generator, shape: Shape) -> NDArray:
        """Scales and variances near one, shifts and means near zero."""
        around: NDArray = rng.uniform(0.5, 1.5, shape)
        return around if letter in ("g", "v") else around - 1.0


@dataclass(frozen=True)
class LayerNorm(Normalisation):
    """z = g (x - mean) / sqrt(var + eps) + b over the last axis (Ba et al. 2016).

    With h = (x - mean) / sqrt(var + eps) and dh = dz g:
    dx = (dh - mean dh - h mean(dh h)) / sqrt(var + eps);  dg = sum dz h;  db = sum dz.

    Parameters
    ----------
    n : width of the last axis.
    eps : added to the variance.
    """

    n: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        positive(self, "n")
        between(self, "eps", 0)

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"g": (self.n,), "b": (self.n,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        fits(self, shapes[0], self.n)
        return shapes[0]

    def forward(self, *y: Array) -> Array:
        x, g, b = y
        c, r, mean, _ = self._centred(x, -1)
        # PyTorch's form cancels where x is near the mean.
        return usual(c * r * g + b, {"(x r - mean r) g + b": lambda: (x * r - mean * r) * g + b})

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, g, _ = y
        c, r, *_ = self._centred(x, -1)
        others = tuple(range(dz.ndim - 1))
        dx = self.through_statistics(dz * g, c, r, -1)
        return dx, (dz * (c * r)).sum(axis=others), dz.sum(axis=others)


@dataclass(frozen=True)
class BatchNorm(Normalisation):
    """z = g (x - mean) / sqrt(var + eps) + b over all axes but 1 (Ioffe and Szegedy 2015).

    In training the mean and the variance are those of the batch, the gradient goes through them as
    in `LayerNorm`, and the running statistics m and v move towards them:
    mean' = (1 - momentum) m + momentum mean.  In evaluation m and v are used and constant.

    Parameters
    ----------
    n : channels, the length of axis 1.
    eps : added to the variance.
    momentum : weight of the batch in the running statistics (PyTorch's convention; Flax and Keras
        write 1 - momentum).
    training : use and follow the statistics of the batch.
    unbiased : the running variance is divided by N - 1 (PyTorch), not by N (Flax).
    """

    n: int
    eps: float = 1e-5
    momentum: float = 0.1
    training: bool = True
    unbiased: bool = True
    buffers: ClassVar[tuple[str, ...]] = ("m", "v")

    def __post_init__(self) -> None:
        positive(self, "n")
        between(self, "eps", 0)
        between(self, "momentum", 0, 1)
        true_or_false(self, "training", "unbiased")

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("mean", "var") if self.training else ()

    def parameter_shapes(self) -> dict[str, Shape]:
        return dict.fromkeys(("g", "b", "m", "v"), (self.n,))

    def output_shape(self, *shapes: Shape) -> Any:
        shape = shapes[0]
        if len(shape) < 2 or shape[1] != self.n:
            raise ValueError(f"BatchNorm takes {self.n} channels on axis 1, received shape {shape}")
        if self.training and math.prod(shape) == self.n:
            raise ValueError(f"BatchNorm: shape {shape} has one number per channel; give more")
        return (shape, (self.n,), (self.n,)) if self.training else shape

    def check_parameter(self, letter: str, name: str, p: NDArray) -> None:
        if letter == "v" and not self.training and (p < 0).any():
            at = int(np.argmax(p < 0))
            raise ValueError(
                f"{name}[{at}] is {p[at]}; BatchNorm in evaluation takes the root of the running "
                "variance, so give numbers >= 0"
            )

    def _axes(self, x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes that are averaged, and the shape of a number per channel beside them."""
        return (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))

    def _statistics(self, y: tuple[Array, ...]) -> tuple[Array, Array, Array, Array]:
        axes, shape = self._axes(y[0])
        if self.training:
            return self._centred(y[0], axes)
        m, v = (a.reshape(*shape) for a in y[3:5])
        return y[0] - m, self.inverse_deviation(v), m, v

    def forward(self, *y: Array) -> Any:
        x, g, b, m, v = y
        _, shape = self._axes(x)
        c, r, mean, var = self._statistics(y)
        g, b = g.reshape(*shape), b.reshape(*shape)
        # PyTorch's form cancels where x is near the mean.
        form = {"x g r + (b - mean g r)": lambda: x * (g * r) + (b - mean * (g * r))}
        z = usual(c * r * g + b, form)
        if not self.training:
            return z
        N, k = math.prod(x.shape) // self.n, self.momentum
        var = var.reshape(-1) * (N / (N - 1)) if self.unbiased else var.reshape(-1)
        return z, (1 - k) * m + k * mean.reshape(-1), (1 - k) * v + k * var

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Any) -> tuple[Array | None, ...]:
        axes, shape = self._axes(y[0])
        c, r, *_ = self._statistics(y)
        dh = dz * y[1].reshape(*shape)
        dx = self.through_statistics(dh, c, r, axes) if self.training else dh * r
        return dx, (dz * (c * r)).sum(axis=axes), dz.sum(axis=axes), None, None
