"""Special functions, elementwise: y = f(z), and dz = f'(z) dy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.arrays import Array, erfc, like, usual, vanishes
from ..arithmetic.special import (
    digamma,
    erfcx,
    erfinv,
    i0e,
    i0e_less_i1e,
    i1e_ratio,
    lgamma,
    trigamma,
)
from ..formulas.choices import Kink
from ..formulas.op import Activation, Kinked

__all__ = ["Digamma", "Erfinv", "I0e", "I1e", "Lgamma", "LogNdtr", "Sinc"]


@dataclass(frozen=True)
class Sinc(Activation):
    """y = sin(pi z) / (pi z), and 1 at 0; f'(z) = (cos(pi z) - y) / z, and 0 at 0.

    Near 0 both are power series in q = (pi z)^2: y = 1 - q/(2 3) + q^2/(2 3 4 5) - ..., and
    f'(z) = -pi^2 z/3 (1 - q/(2 5) + q^2/(2 5 4 7) - ...).  Elsewhere pi multiplies the distance
    from the nearest whole number, which is exact.
    """

    def f(self, z: Array) -> Array:
        far = np.where(abs(z) < NEAR, like(np.array(1.0), z), z)
        best = np.where(abs(z) < NEAR, _series(z, 1), _turned(np.sin, far) / math.pi / far)
        return usual(best, {"sin(pi z) / (pi z)": lambda: np.where(z == 0, 1, _sinc(z))})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        far = np.where(abs(z) < NEAR, like(np.array(1.0), z), z)
        away = (_turned(np.cos, far) - _turned(np.sin, far) / math.pi / far) / far
        near = -math.pi * math.pi / 3 * np.clip(z, -NEAR, NEAR) * _series(z, 3)

        def form() -> Array:
            t = math.pi * z
            return np.where(vanishes(t * z), 0, (np.cos(t) * t - np.sin(t)) / (t * z))

        forms = {"(pi z cos(pi z) - sin(pi z)) / (pi z^2)": form}
        return dy * usual(np.where(abs(z) < NEAR, near, away), forms)


#: Below it the series are taken, of so many terms: right to 30 digits.
NEAR, TERMS = 0.5, 18


def _series(z: Array, odd: int) -> Array:
    """1 - q/(2 (2 + odd)) (1 - q/(4 (4 + odd)) (1 - ...))."""
    t = math.pi * np.clip(z, -NEAR, NEAR)
    q, sum_ = t * t, 1 + 0 * t
    for k in range(TERMS, 0, -1):
        sum_ = 1 - q / (2 * k * (2 * k + odd)) * sum_
    return sum_


def _turned(f: Callable[[Array], Array], z: Array) -> Array:
    """f(pi z) for sin and cos, which change their sign where z grows by one."""
    n = np.rint(z)
    y = f(math.pi * (z - n))
    return np.where(2.0 * np.floor(0.5 * n) == n, y, -y)


def _sinc(z: Array) -> Array:
    t = math.pi * z
    return np.sin(t) / t


@dataclass(frozen=True)
class Lgamma(Activation):
    """y = log |Gamma(z)|; f'(z) = digamma(z), which has no value at 0, -1, -2, ...

    For z <= -1/2: y = log pi - log |sin(pi z)| - log Gamma(1 - z); for -1/2 < z < 0:
    y = log Gamma(1 + z) - log |z|.

    >>> Lgamma().f(np.array([3.0, -0.5], np.float32))
    array([0.6931472, 1.2655121], dtype=float32)
    """

    def f(self, z: Array) -> Array:
        low, near, x = _moved_up(z)
        best = lgamma(x)

        def whole(g: Array) -> Array:
            y = math.log(math.pi) - np.log(abs(_turned(np.sin, _below(z)))) - g
            up = g - np.log(abs(_beside_0(z)))
            return np.where(low, np.where(_is_pole(z), np.inf, y), np.where(near, up, g))

        def form() -> Array:
            t = x + 6.5
            head = (x - 0.5) * np.log(t) - t
            return whole(head + (best - head))

        # Lanczos's sum, as XLA has it, cancels where Gamma(z) is near 1.
        forms = {"(z - 1/2) log(z + 13/2) - (z + 13/2) + log A(z)": form}
        return usual(whole(best), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * _whole_digamma(z)


@dataclass(frozen=True)
class Digamma(Activation):
    """y = d/dz log |Gamma(z)|; f'(z) = trigamma(z) = sum_{k >= 0} 1 / (z + k)^2.

    For z <= -1/2: y = digamma(1 - z) - pi / tan(pi z) and f'(z) = pi^2 / sin(pi z)^2 -
    trigamma(1 - z); for -1/2 < z < 0: y = digamma(1 + z) - 1/z and f'(z) = trigamma(1 + z) +
    1/z^2; at 0, -1, -2, ... neither has a value.

    >>> Digamma().f(np.array([1.0, 2.0], np.float32))
    array([-0.5772157 ,  0.42278433], dtype=float32)
    """

    def f(self, z: Array) -> Array:
        return _whole_digamma(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        low, near, x = _moved_up(z)
        far, inverse = trigamma(x), 1 / _beside_0(z)
        ratio = math.pi / _turned(np.sin, _below(z))
        best = np.where(near, far + inverse * inverse, far)
        best = np.where(low, np.where(_is_pole(z), np.nan, ratio * ratio - far), best)
        # So PyTorch has it, in float64 too, where it keeps half of the digits.
        forms = {"six steps up and three terms of the series": lambda: _short_trigamma(z)}
        return dy * usual(best, forms)


def _moved_up(z: Array) -> tuple[Array, Array, Array]:
    """Whether z is at most -1/2 or 0, whether it is between, and 1 - z, 1 + z, or else z."""
    near = (z > -0.5) & (z < 0)
    low = (z <= 0) & ~near
    return low, near, np.where(low, 1 - z, np.where(near, 1 + z, z))


def _below(z: Array) -> Array:
    """Z where it is at most -1/2 and not whole, -1/2 elsewhere."""
    return np.where((z <= -0.5) & ~_is_pole(z), z, like(np.array(-0.5), z))


def _beside_0(z: Array) -> Array:
    """Z where it is between -1/2 and 0, -1/2 elsewhere."""
    return np.where((z > -0.5) & (z < 0), z, like(np.array(-0.5), z))


def _is_pole(z: Array) -> Array:
    """Whether z is 0, -1, -2, ..., where Gamma has a pole."""
    return (z <= 0) & (np.floor(z) == z)


def _whole_digamma(z: Array) -> Array:
    low, near, x = _moved_up(z)
    far, half = digamma(x), _below(z)
    y = far - math.pi * _turned(np.cos, half) / _turned(np.sin, half)
    up = np.where(near, far - 1 / _beside_0(z), far)
    return np.where(low, np.where(_is_pole(z), np.nan, y), up)


def _short_trigamma(z: Array) -> Array:
    """pi^2 / sin(pi z)^2 - trigamma(1 - z) below 1/2."""
    low = z < 0.5
    x = np.where(low, 1 - z, z)
    steps, far = 1 / (x * x), x + 6
    for k in range(1, 6):
        steps = steps + 1 / ((x + k) * (x + k))
    q = 1 / (far * far)
    series = 1 + 1 / (2.0 * far) + q * (1 / 6 - q * (1 / 30 - q * (1 / 42)))
    found, ratio = steps + series / far, math.pi / np.sin(math.pi * z)
    return np.where(low, ratio * ratio - found, found)


@dataclass(frozen=True)
class Erfinv(Activation):
    """y with erf(y) = z for -1 < z < 1; f'(z) = sqrt(pi)/2 e^(y^2)."""

    def f(self, z: Array) -> Array:
        # Giles's polynomial in log(1 - z^2) rounds z^2, which counts where z^2 is near 1.
        return usual(erfinv(z), {"z p(log(1 - z^2))": lambda: np.sign(z) * erfinv(np.sqrt(z * z))})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        w = self.f(z)
        return dy * (math.sqrt(math.pi) / 2 * np.exp(w * w))


@dataclass(frozen=True)
class LogNdtr(Activation):
    """y = log Phi(z), Phi the distribution function of the normal; f'(z) = phi(z) / Phi(z).

    With t = -z / sqrt(2) and erfcx(t) = e^(t^2) erfc(t): y = log(erfcx(t) / 2) - z^2/2 below -1,
    log(1 - erfc(-t) / 2) above;  f'(z) = sqrt(2/pi) / erfcx(t) for z < 0.
    """

    def f(self, z: Array) -> Array:
        edge = like(np.array(-1.0), z)
        low, high = np.minimum(z, edge), np.maximum(z, edge)
        below = np.log(0.5 * erfcx(low * -math.sqrt(0.5))) - 0.5 * low * low
        best = np.where(z < -1, below, np.log1p(-0.5 * erfc(high * math.sqrt(0.5))))
        return usual(best, {"log Phi(z)": lambda: np.log(0.5 * erfc(z * -math.sqrt(0.5)))})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        zero = like(np.array(0.0), z)
        low, high = np.minimum(z, zero), np.clip(np.maximum(z, zero), 0, FAR)
        bell = 1 / math.sqrt(2 * math.pi) * np.exp(-0.5 * high * high)
        above = bell / (1 - 0.5 * erfc(high * math.sqrt(0.5)))
        near = np.clip(low, -FARTHER, 0) * -math.sqrt(0.5)
        below = np.where(low < -FARTHER, -low, math.sqrt(2 / math.pi) / erfcx(near))
        w = self.f(z)
        forms = {
            "e^(-z^2/2 - y) / sqrt(2 pi)": lambda: (
                1 / math.sqrt(2 * math.pi) * np.exp(-0.5 * z * z - w)
            )
        }
        return dy * usual(np.where(z < 0, below, above), forms)


#: e^(-z^2/2) of such a number is 0 in every format.
FAR = 100.0
#: The slope of log Phi is -z to 1e-18 below minus this.
FARTHER = 10**9


@dataclass(frozen=True)
class I0e(Kinked):
    """y = I_0(z) e^-|z|, I_0 the modified Bessel function; f'(z) = I_1(z) e^-|z| - sign(z) y.

    The slope is -sign(z) times the mean over t of (1 - cos t) e^(-|z| (1 - cos t)), which does not
    cancel where z is large.  Kink at 0: [-1, 1].
    """

    kinks = (Kink(0.0, 1.0, -1.0),)
    subgradient: float | str = field(default=0.0, kw_only=True)

    def f(self, z: Array) -> Array:
        return i0e(abs(z))

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        x, d = abs(z), i0e_less_i1e(abs(z))
        forms = {"I1e(z) - sign(z) I0e(z)": lambda: z * i1e_ratio(x) - np.sign(z) * i0e(x)}
        return dy * usual(np.where(z > 0, -d, d), forms)


@dataclass(frozen=True)
class I1e(Activation):
    """y = I_1(z) e^-|z|, I_1 the modified Bessel function; f'(z) = (I_0 - I_1) e^-|z| - |y| / |z|.

    In the slope I_1 stands for I_1(|z|), and at 0 it is 1/2.
    """

    def f(self, z: Array) -> Array:
        x, s = abs(z), np.sign(z)
        # Far from 0 the ratio is smaller than y and would underflow.
        return np.where(x < RATIO, z * i1e_ratio(x), s * (i0e(x) - i0e_less_i1e(x)))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        x, s = abs(z), np.sign(z)
        ratio, w = i1e_ratio(x), self.f(z)
        forms = {"I0e(z) - y (sign(z) + 1/z)": lambda: i0e(x) - w * (s + 1 / z)}
        return dy * usual(i0e_less_i1e(x) - ratio, forms)


#: From here on I_0 - (I_0 - I_1) keeps the digits of I_1.
RATIO = 30.0
