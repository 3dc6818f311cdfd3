"""Scalar activations (lecture, section 2): y = f(z), and dz = df(dy, z, y) = f'(z) dy.

Each formula is written in its best form; `usual` names the forms that people write instead, and
that lose digits somewhere.  `smooth` has those that several ops share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, erf, erfc, usual
from .arguments import between, finite, one_of, true_or_false, whole
from .choices import Kink
from .op import Activation, Kinked
from .smooth import (
    exp_minus_1,
    exp_slope,
    sigmoid,
    sigmoid_slope,
    softplus,
    softplus_slope,
    stable_sigmoid,
    tanh,
    tanh_slope,
)

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "RandomizedLeakyReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]


@dataclass(frozen=True)
class Identity(Activation):
    """y = z; f'(z) = 1."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return z

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy


@dataclass(frozen=True)
class Sigmoid(Activation):
    """y = 1 / (1 + e^-z); f'(z) = y (1 - y)."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return sigmoid(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * sigmoid_slope(z, y)


@dataclass(frozen=True)
class Tanh(Activation):
    """y = tanh z; f'(z) = 1 - y^2."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return tanh(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * tanh_slope(z, y)


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
class Softplus(Activation):
    """y = log(1 + e^z); f'(z) = sigmoid(z).

    Parameters
    ----------
    threshold : None for the lecture's function.  A number t makes it y = z for z > t, which is what
        PyTorch's `softplus` computes (t = 20): another function, by 2e-9 just above t.
    """

    elementwise: ClassVar[bool] = True

    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None:
            finite(self, "threshold")

    def f(self, z: Array) -> Array:
        y = softplus(z)
        return y if self.threshold is None else np.where(z > self.threshold, z, y)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        dz = dy * softplus_slope(z)
        return dz if self.threshold is None else np.where(z > self.threshold, dy, dz)


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


#: e^-z is 0 in every format beyond this: no factor z makes a number of it.
VANISHED = 1000.0


@dataclass(frozen=True)
class SiLU(Activation):
    """y = z s with s = sigmoid(b z); f'(z) = s + b z s (1 - s).

    Parameters
    ----------
    b : the factor: 1, or another for Swish (Ramachandran et al. 2017); 1.702 is the quick GELU.
        From 1/64 to 64.
    """

    elementwise: ClassVar[bool] = True

    b: float = 1.0

    def __post_init__(self) -> None:
        between(self, "b", 1 / 64, 64)

    def f(self, z: Array) -> Array:
        t = self._argument(z)
        forms = {
            "z / (1 + e^-bz)": lambda: z / (1 + np.exp(-t)),
            "z sigmoid(b z)": lambda: z * sigmoid(t),
        }
        return usual(np.maximum(z, -VANISHED / self.b) * sigmoid(t), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        t = self._argument(z)
        s = sigmoid(t)
        slope = usual(
            stable_sigmoid(t) * (1 + t * stable_sigmoid(-t)),
            {
                "s (1 + t (1 - s))": lambda: s * (1 + t * (1 - s)),
                "s + t s (1 - s)": lambda: s + t * (s * (1 - s)),
                "b y + s (1 - b y)": lambda: self.b * y + s * (1 - self.b * y),
            },
        )
        return dy * slope

    def _argument(self, z: Array) -> Array:
        """b z, kept from overflowing: its sigmoid is 0 or 1 long before."""
        far = 64 * VANISHED
        return np.clip(self.b * np.clip(z, -far, far), -VANISHED, VANISHED)


#: The normal density of such a number is 0 in every format.
FAR = 100.0


@dataclass(frozen=True)
class GELU(Activation):
    """y = z Phi(z), Phi the normal distribution; f'(z) = Phi(z) + z phi(z), phi its density.

    Parameters
    ----------
    approximate : "none" for Phi(z) = (1 + erf(z / sqrt 2)) / 2; "tanh" for the usual approximation
        Phi(z) ~ (1 + tanh(c (z + 0.044715 z^3))) / 2 with c = sqrt(2 / pi).
    """

    elementwise: ClassVar[bool] = True

    approximate: str = "none"

    def __post_init__(self) -> None:
        one_of(self, "approximate", ("none", "tanh"))

    def f(self, z: Array) -> Array:
        forms = {
            "z (1 + t) / 2": lambda: z * (0.5 * (1 + self._t(z))),
            "z Phi(z)": lambda: z * self._phi(z),
        }
        return usual(np.maximum(z, -FAR) * self._phi(z), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        c = np.where(abs(z) < FAR, z, 0 * z)  # beyond it the density is 0 and its powers overflow
        if self.approximate == "none":
            density = 1 / math.sqrt(2 * math.pi) * np.exp(-0.5 * (c * c))
        else:
            t = np.exp(-abs(2.0 * self._u(c)))
            density = 2.0 * self._du(c) * (t / ((1 + t) * (1 + t)))
        form = {"(1 + t) / 2 + z t' / 2": lambda: self._textbook_slope(z)}
        return dy * usual(self._phi(z) + c * density, form)

    def _phi(self, z: Array) -> Array:
        """(1 + t) / 2 without its cancellation."""
        if self.approximate == "none":
            return 0.5 * erfc(z * -math.sqrt(0.5))
        return stable_sigmoid(2.0 * self._u(z))

    def _textbook_slope(self, z: Array) -> Array:
        t = self._t(z)
        if self.approximate == "none":
            dt = math.sqrt(2 / math.pi) * np.exp(-0.5 * (z * z))
        else:
            dt = (1 - t * t) * self._du(z)
        return 0.5 * (1 + t) + 0.5 * (z * dt)

    def _t(self, z: Array) -> Array:
        return erf(z * math.sqrt(0.5)) if self.approximate == "none" else np.tanh(self._u(z))

    def _u(self, z: Array) -> Array:
        return math.sqrt(2 / math.pi) * (z + 0.044715 * (z * z * z))

    def _du(self, z: Array) -> Array:
        return math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (z * z))


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
