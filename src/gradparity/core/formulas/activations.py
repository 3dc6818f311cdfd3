"""Scalar activations without kinks (lecture, section 2): y = f(z), dz = df(dy, z, y) = f'(z) dy.

Each formula is written in its best form; `usual` names the forms that people write instead, and
that lose digits somewhere.  `smooth` has those that several ops share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, erf, erfc, usual
from .arguments import between, finite, one_of
from .op import Activation
from .smooth import (
    sigmoid,
    sigmoid_slope,
    softplus,
    softplus_slope,
    stable_sigmoid,
    tanh,
    tanh_slope,
)

__all__ = [
    "GELU",
    "Identity",
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
