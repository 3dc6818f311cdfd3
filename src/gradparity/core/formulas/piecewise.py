"""Scalar activations in pieces that meet at kinks, as in `activations`: y = f(z), f'(z) dy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.arrays import Array
from .arguments import finite, true_or_false, whole
from .choices import Kink
from .op import Kinked
from .smooth import (
    exp_minus_1,
    exp_slope,
)

__all__ = [
    "ELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "RandomizedLeakyReLU",
    "ReLU",
]


@dataclass(frozen=True)
class ReLU(Kinked):
    """y = max(z, 0); f'(z) = 1 for z > 0, 0 for z < 0, at 0 any value in [0, 1].

    Parameters
    ----------
    subgradient : "right" is the lecture's equation (1 at 0), "left" the frameworks' `relu` (0).

    >>> relu = ReLU(subgradient="left")
    >>> relu.df(np.ones(3), np.array([-1.0, 0.0, 2.0]), np.array([0.0, 0.0, 2.0]))
    array([0., 0., 1.])
    """

    kinks = (Kink(0.0, 0.0, 1.0),)

    def f(self, z: Array) -> Array:
        return np.maximum(z, 0)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, dy, 0)


@dataclass(frozen=True)
class LeakyReLU(Kinked):
    """y = z for z > 0, else a z; f'(z) = 1 or a, at 0 anything between them.

    Parameters
    ----------
    a : the slope for z < 0.
    """

    a: float = 0.01

    def __post_init__(self) -> None:
        finite(self, "a")
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        return _kink_at_zero(self.a, 1.0)

    def f(self, z: Array) -> Array:
        return np.where(z > 0, z, self.a * z)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, dy, self.a * dy)


@dataclass(frozen=True)
class RandomizedLeakyReLU(Kinked):
    """y = z for z > 0, else a z, the slope a drawn per element from U(l, u) in training.

    In evaluation (``training=False``) the slope is (l + u) / 2.  The slopes are
    the second input in training.  An implementation draws its own, so they are read off its values,
    must lie in [l, u], and its gradient must use the same.

    Parameters
    ----------
    l, u : range of the slope, l <= u.
    training : draw per element, or take the mean.
    seed : of the draw; the same seed and shape give the same slopes.
    """

    l: float = 1 / 8  # noqa: E741  (the lecture's letter)
    u: float = 1 / 3
    training: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        finite(self, "l", "u")
        if self.l > self.u:
            raise ValueError(f"RandomizedLeakyReLU(l={self.l}, u={self.u}): give l <= u")
        true_or_false(self, "training")
        whole(self, "seed", least=0)
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        if not self.training:
            return _kink_at_zero(self.mean, 1.0)
        # Any slope that can be drawn is a left slope.
        smooth = self.l == self.u == 1.0
        return () if smooth else (Kink(0.0, self.l, 1.0, others=(self.u,)),)

    @property
    def random(self) -> bool:
        return self.training

    @property
    def mean(self) -> float:
        """The slope in evaluation."""
        return (self.l + self.u) / 2

    def sample(self, *y: Array) -> Array:
        draw = np.random.default_rng(self.seed).uniform(self.l, self.u, y[0].shape)
        return draw.astype(y[0].dtype)

    def draw(self, y: tuple[Array, ...], z: Array) -> Array:
        return np.clip(z / np.where(y[0] < 0, y[0], 1), self.l, self.u)

    def forward(self, *y: Array) -> Array:
        z, a = y if self.training else (y[0], self.mean)
        return np.where(z > 0, z, a * z)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        x, a = y if self.training else (y[0], self.mean)
        dy = np.where(x > 0, dz, a * dz)
        # The left slope at a kink is the one drawn there, not the lowest of the range.
        for kink in self.kinks if self.subgradient != "left" else ():
            dy = np.where(x == kink.at, self.taken_at(kink) * dz, dy)
        return (dy, None) if self.training else (dy,)


@dataclass(frozen=True)
class ELU(Kinked):
    """y = z for z > 0, else a (e^z - 1); f'(z) = 1 or y + a; a kink at 0 unless a = 1.

    Parameters
    ----------
    a : the limit of -y for z -> -inf; positive.
    """

    a: float = 1.0

    def __post_init__(self) -> None:
        finite(self, "a")
        if self.a <= 0:
            raise ValueError(f"ELU(a={self.a}): give a > 0")
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        return _kink_at_zero(self.a, 1.0)

    def f(self, z: Array) -> Array:
        return np.where(z >= 0, z, self.a * exp_minus_1(z))

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, dy, exp_slope(z, y, self.a) * dy)


# Klambauer et al. 2017, the fixed point of zero mean and unit variance.
SELU_A = 1.6732632423543772848170429916717


SELU_SCALE = 1.0507009873554804934193349852946


@dataclass(frozen=True)
class SELU(Kinked):
    """y = s z for z > 0, else s a (e^z - 1); f'(z) = s or y + s a; kink at 0: [s, s a]."""

    kinks = (Kink(0.0, SELU_SCALE * SELU_A, SELU_SCALE),)

    def f(self, z: Array) -> Array:
        return SELU_SCALE * np.where(z >= 0, z, SELU_A * exp_minus_1(z))

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, SELU_SCALE * dy, exp_slope(z, y, SELU_SCALE * SELU_A) * dy)


@dataclass(frozen=True)
class Hardtanh(Kinked):
    """y = min(max(z, low), high); f'(z) = 1 between them, else 0; kinks at both: [0, 1].

    Parameters
    ----------
    low, high : the bounds: -1 and 1; 0 and 6 for ReLU6; any for a clamp, an infinite one for none.
        Where they are equal, their value is a kink too: the limit of narrow ones.
    """

    low: float = -1.0
    high: float = 1.0
    subgradient: float | str = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if getattr(self, name) not in (-math.inf, math.inf):
                finite(self, name)
        if not self.low <= self.high:
            raise ValueError(f"{self!r}: give low <= high")
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        if self.low == self.high:
            return (Kink(self.low, 0.0, 0.0, others=(1.0,)),)
        both = Kink(self.low, 0.0, 1.0), Kink(self.high, 1.0, 0.0)
        return tuple(kink for kink in both if math.isfinite(kink.at))

    def f(self, z: Array) -> Array:
        return np.minimum(np.maximum(z, self.low), self.high)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where((z > self.low) & (z <= self.high), dy, 0)


def _kink_at_zero(left: float, right: float) -> tuple[Kink, ...]:
    return (Kink(0.0, left, right),) if left != right else ()
