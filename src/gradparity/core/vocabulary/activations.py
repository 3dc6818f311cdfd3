"""Further activations: y = f(z), elementwise, gated, or with a learned slope.

Each formula stands in its best form, as in `core.formulas.activations`; `usual` names the forms
that frameworks compute instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.arrays import Array, split, usual
from ..formulas.activations import Sigmoid
from ..formulas.arguments import above_zero, axes_in, refused, whole
from ..formulas.op import Activation, Kinked, Op, Shape
from ..formulas.smooth import exp_minus_1, exp_slope, softplus, softplus_slope, stable_sigmoid

__all__ = [
    "CELU",
    "GLU",
    "LogSigmoid",
    "Mish",
    "Softsign",
    "SparsePlus",
    "Squareplus",
    "Tanhshrink",
]


@dataclass(frozen=True)
class LogSigmoid(Activation):
    """y = log sigmoid(z) = -log(1 + e^-z); f'(z) = sigmoid(-z)."""

    def f(self, z: Array) -> Array:
        return usual(-softplus(-z), {"min(z, 0) - log1p(e^-|z|)": lambda: _log_sigmoid(z)})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        s = stable_sigmoid(z)
        return dy * usual(softplus_slope(-z), {"1 - sigmoid(z)": lambda: 1 - s})


def _log_sigmoid(z: Array) -> Array:
    return np.minimum(z, 0) - np.log1p(np.exp(-abs(z)))


@dataclass(frozen=True)
class Mish(Activation):
    """y = z r with r = tanh(log(1 + e^z)) (Misra 2019); f'(z) = r + z (1 - r^2) sigmoid(z).

    With t = e^-|z|: r = (1 + 2 t) / (1 + 2 t + 2 t^2) for z >= 0, else t (t + 2) / (t (t + 2) + 2).

    >>> Mish().f(np.array([0.0, -1000.0, 1000.0]))
    array([   0.,   -0., 1000.])
    """

    def f(self, z: Array) -> Array:
        forms = {
            "z tanh(softplus(z))": lambda: z * np.tanh(softplus(z)),
            "z n / (n + 2), n = e^z (e^z + 2)": lambda: z * _over_n_plus_2(np.exp(z)),
        }
        return usual(np.maximum(z, -VANISHED) * self._r(z)[0], forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        r, rest = self._r(z)
        bounded = np.clip(z, -VANISHED, VANISHED)
        best = r + bounded * (rest * (1 + r) * stable_sigmoid(z))

        def form() -> Array:
            h = np.tanh(softplus(z))
            return h + z * (1 - h * h) * stable_sigmoid(z)

        return dy * usual(best, {"h + z (1 - h^2) sigmoid(z), h = tanh(softplus(z))": form})

    def _r(self, z: Array) -> tuple[Array, Array]:
        """r, and 1 - r without its cancellation."""
        t = np.exp(-abs(z))
        above, below = 1 + 2.0 * t + 2.0 * (t * t), t * (t + 2) + 2
        r = np.where(z >= 0, (1 + 2.0 * t) / above, t * (t + 2) / below)
        return r, np.where(z >= 0, 2.0 * (t * t) / above, 2.0 / below)


#: e^-z is 0 in every format beyond this: no factor z makes a number of it.
VANISHED = 1000.0


def _over_n_plus_2(e: Array) -> Array:
    n = e * (e + 2)
    return n / (n + 2)


@dataclass(frozen=True)
class Softsign(Activation):
    """y = z / (1 + |z|); f'(z) = 1 / (1 + |z|)^2."""

    def f(self, z: Array) -> Array:
        return z / (1 + abs(z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        r = 1 / (1 + abs(z))
        forms = {
            "1 / (1 + |z|)^2": lambda: 1 / ((1 + abs(z)) * (1 + abs(z))),
            "(1 - |y|)^2": lambda: (1 - abs(y)) * (1 - abs(y)),
            "1 / (1 + |z|) - |z| / (1 + |z|)^2": lambda: r - abs(z) * (r * r),
        }
        return dy * usual(r * r, forms)


@dataclass(frozen=True)
class Tanhshrink(Activation):
    """y = z - tanh z; f'(z) = tanh(z)^2.

    Near 0 the difference cancels.  With Lambert's continued fraction tanh z = z / (1 + c),
    c = z^2 / (3 + z^2 / (5 + ...)), it is z c / (1 + c).
    """

    def f(self, z: Array) -> Array:
        q = np.minimum(abs(z), 1) * np.minimum(abs(z), 1)
        c = q / (2 * LEVELS + 1)
        for k in range(LEVELS - 1, 0, -1):
            c = q / (2 * k + 1 + c)
        direct = z - np.tanh(z)
        return usual(
            np.where(abs(z) < 1, z * (c / (1 + c)), direct), {"z - tanh(z)": lambda: direct}
        )

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        t = np.tanh(z)
        forms = {
            "dy tanh(z)^2": lambda: dy * (t * t),
            "dy (1 - (1 - tanh(z)^2))": lambda: dy * (1 - (1 - t * t)),
        }
        return usual(dy * t * t, forms)


#: For |z| < 1 so many levels of the continued fraction are right to 30 digits.
LEVELS = 16


@dataclass(frozen=True)
class Squareplus(Activation):
    """y = (z + sqrt(z^2 + b)) / 2 (Barron 2021); f'(z) = y / sqrt(z^2 + b).

    Parameters
    ----------
    b : positive.
    """

    b: float = 4.0

    def __post_init__(self) -> None:
        above_zero(self, "b")

    def f(self, z: Array) -> Array:
        forms = {
            "(z + sqrt(z^2 + b)) / 2": lambda: 0.5 * (z + np.sqrt(z * z + self.b)),
            # The same where z^2 is so near to the largest number that it may overflow.
            "(z + hypot(z, sqrt(b))) / 2": lambda: 0.5 * (z + self._root(z)),
        }
        return usual(self._best(z), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        forms = {
            "(1 + z / sqrt(z^2 + b)) / 2": lambda: 0.5 * (1 + z / np.sqrt(z * z + self.b)),
            "(1 + z / hypot(z, sqrt(b))) / 2": lambda: 0.5 * (1 + z / self._root(z)),
        }
        return dy * usual(self._best(z) / self._root(z), forms)

    def _root(self, z: Array) -> Array:
        return np.hypot(z, math.sqrt(self.b) + 0 * z)

    def _best(self, z: Array) -> Array:
        half = 0.5 * abs(z) + 0.5 * self._root(z)
        return np.where(z >= 0, half, (0.25 * self.b) / half)


@dataclass(frozen=True)
class SparsePlus(Activation):
    """y = 0 for z <= -1, z for z >= 1, (z + 1)^2 / 4 between; f'(z) = (z + 1) / 2 there."""

    def f(self, z: Array) -> Array:
        return np.where(z <= -1, 0, np.where(z >= 1, z, 0.25 * ((z + 1) * (z + 1))))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z <= -1, 0, np.where(z >= 1, dy, 0.5 * (dy * (z + 1))))


@dataclass(frozen=True)
class CELU(Activation):
    """y = z for z > 0, else a (e^{z/a} - 1) (Barron 2017); f'(z) = 1 or e^{z/a}.

    Parameters
    ----------
    a : the limit of -y for z -> -inf; positive.
    """

    a: float = 1.0

    def __post_init__(self) -> None:
        above_zero(self, "a")

    def f(self, z: Array) -> Array:
        return np.where(z >= 0, z, self.a * exp_minus_1(self._scaled(z)))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, dy, exp_slope(self._scaled(z), y / self.a, 1.0) * dy)

    def _scaled(self, z: Array) -> Array:
        """z / a, kept from overflowing: beyond it only signs count."""
        return np.clip(z, -VANISHED * self.a, VANISHED * self.a) / self.a


@dataclass(frozen=True)
class GLU(Op):
    """z = a f(b) for the halves (a, b) of an axis (Dauphin et al. 2017).

    da = dz f(b),  db = dz a f'(b).

    Parameters
    ----------
    gate : Sigmoid() for GLU, SiLU() for SwiGLU, GELU() for GEGLU; no gate with kinks.
    axis : that is halved, the last by default.

    >>> GLU().output_shape((5, 6))
    (5, 3)
    """

    gate: Activation = field(default_factory=Sigmoid)
    axis: int = -1

    def __post_init__(self) -> None:
        if not isinstance(self.gate, Activation) or isinstance(self.gate, Kinked):
            give = "a smooth activation, such as Sigmoid(); write others as nodes: Split, ReLU"
            raise refused(self, "gate", self.gate, give)
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        (at,) = axes_in(self, self.axis, shape)
        if shape[at] % 2:
            raise ValueError(f"{self!r} halves axis {self.axis}, received shape {shape}")
        return (*shape[:at], shape[at] // 2, *shape[at + 1 :])

    def _halves(self, y: Array) -> list[Array]:
        return split(y, [y.shape[self.axis] // 2] * 2, self.axis)

    def forward(self, *y: Array) -> Array:
        a, b = self._halves(y[0])
        return a * self.gate.f(b)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, b = self._halves(y[0])
        gate = self.gate.f(b)
        return (np.concatenate([dz * gate, self.gate.df(dz * a, b, gate)], axis=self.axis),)
