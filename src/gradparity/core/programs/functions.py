"""Mathematical functions that programs call and no layer does: y = f(z), and dz = f'(z) dy.

They are what recordings need, and no written network: see `gradparity.record`.
"""

from __future__ import annotations

import math

import numpy as np

from ..arithmetic.arrays import Array, like, usual
from ..formulas.op import Activation
from ..vocabulary.pairs import Elementwise

__all__ = [
    "Arccos",
    "Arccosh",
    "Arcsin",
    "Arcsinh",
    "Arctanh",
    "Cosh",
    "CubeRoot",
    "Exp2",
    "Logit",
    "Sinh",
    "Tan",
    "XLogY",
]


class Tan(Activation):
    """y = tan z; f'(z) = 1 / cos^2 z."""

    def f(self, z: Array) -> Array:
        return np.sin(z) / np.cos(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        c = np.cos(z)
        return usual(dy / c / c, {"dy (1 + y^2)": lambda: dy * (1 + y * y)})


class Sinh(Activation):
    """y = (e^z - e^-z) / 2; f'(z) = cosh z."""

    def f(self, z: Array) -> Array:
        return 0.5 * (np.expm1(z) - np.expm1(-z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * (0.5 * np.exp(z) + 0.5 * np.exp(-z))


class Cosh(Activation):
    """y = (e^z + e^-z) / 2; f'(z) = sinh z."""

    def f(self, z: Array) -> Array:
        return 0.5 * np.exp(z) + 0.5 * np.exp(-z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * (0.5 * (np.expm1(z) - np.expm1(-z)))


def _beside(z: Array) -> Array:
    """sqrt(1 - z^2)."""
    return usual(np.sqrt((1 - z) * (1 + z)), {"sqrt(1 - z^2)": lambda: np.sqrt(1 - z * z)})


class Arcsin(Activation):
    """y = arcsin z for -1 < z < 1; f'(z) = 1 / sqrt(1 - z^2)."""

    def f(self, z: Array) -> Array:
        return np.arctan2(z, np.sqrt((1 - z) * (1 + z)))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy / _beside(z)


class Arccos(Activation):
    """y = arccos z for -1 < z < 1; f'(z) = -1 / sqrt(1 - z^2)."""

    def f(self, z: Array) -> Array:
        return np.arctan2(np.sqrt((1 - z) * (1 + z)), z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return -dy / _beside(z)


class Arcsinh(Activation):
    """y = log(z + sqrt(z^2 + 1)), odd in z; f'(z) = 1 / sqrt(z^2 + 1)."""

    def f(self, z: Array) -> Array:
        size = abs(z)
        root = np.hypot(1 + 0 * z, z)
        return np.sign(z) * np.log1p(size + size * (size / (1 + root)))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        form = {"dy / sqrt(z^2 + 1)": lambda: dy / np.sqrt(z * z + 1)}
        return usual(dy / np.hypot(1 + 0 * z, z), form)


class Arccosh(Activation):
    """y = log(z + sqrt(z^2 - 1)) for z > 1; f'(z) = 1 / sqrt(z^2 - 1)."""

    def f(self, z: Array) -> Array:
        return np.log1p((z - 1) + np.sqrt((z - 1) * (z + 1)))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        form = {"dy / sqrt(z^2 - 1)": lambda: dy / np.sqrt(z * z - 1)}
        return usual(dy / np.sqrt((z - 1) * (z + 1)), form)


class Arctanh(Activation):
    """y = 1/2 log((1 + z) / (1 - z)) for -1 < z < 1; f'(z) = 1 / (1 - z^2)."""

    def f(self, z: Array) -> Array:
        return 0.5 * (np.log1p(z) - np.log1p(-z))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return usual(dy / (1 - z) / (1 + z), {"dy / (1 - z^2)": lambda: dy / (1 - z * z)})


class CubeRoot(Activation):
    """y = sign(z) |z|^(1/3); f'(z) = y / 3z."""

    def f(self, z: Array) -> Array:
        return np.sign(z) * np.exp(np.log(abs(z)) / 3.0)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * (self.f(z) / z / 3.0)


class Logit(Activation):
    """y = log(z / (1 - z)) for 0 < z < 1; f'(z) = 1 / (z (1 - z))."""

    def f(self, z: Array) -> Array:
        forms = {
            "log(z / (1 - z))": lambda: np.log(z / (1 - z)),
            "log z - log(1 - z)": lambda: np.log(z) - np.log(1 - z),
        }
        return usual(np.log1p((2.0 * z - 1) / (1 - z)), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy / z / (1 - z)


class Exp2(Activation):
    """y = 2^z; f'(z) = y log 2."""

    def f(self, z: Array) -> Array:
        return np.exp(math.log(2) * z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * (math.log(2) * self.f(z))


class XLogY(Elementwise):
    """z = x log y, and 0 where x is 0;  dx = dz log y,  dy = dz x / y."""

    def f(self, *y: Array) -> Array:
        x, a = y
        return np.where(x == 0, 0, x * np.log(np.where((x == 0) & (a <= 0), like(ONE, a), a)))

    def shares(self, dz: Array, *y: Array) -> tuple[Array, ...]:
        x, a = y
        empty = (x == 0) & (a <= 0)
        return np.where(empty, 0, dz * np.log(np.where(empty, like(ONE, a), a))), dz * x / a


ONE = np.array(1.0)
