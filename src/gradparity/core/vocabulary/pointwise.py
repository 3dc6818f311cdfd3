"""Mathematical functions, elementwise: y = f(z), and dz = f'(z) dy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, erf, erfc, usual
from ..formulas.arguments import finite, one_of, true_or_false, whole
from ..formulas.choices import Kink
from ..formulas.op import Activation, Kinked

__all__ = [
    "Abs",
    "Arctan",
    "Cos",
    "Erf",
    "Erfc",
    "Exp",
    "Expm1",
    "IntegerPower",
    "Log",
    "Log1p",
    "Reciprocal",
    "Rsqrt",
    "Scale",
    "Sin",
    "Sqrt",
    "Square",
    "Step",
]


@dataclass(frozen=True)
class Scale(Activation):
    """y = a z + b; f'(z) = a.

    Parameters
    ----------
    a, b : any numbers: -1 and 0 change the sign.

    >>> Scale(-1.0).f(np.array([2.0]))
    array([-2.])
    """

    elementwise: ClassVar[bool] = True

    a: float = 1.0
    b: float = 0.0

    def __post_init__(self) -> None:
        finite(self, "a", "b")

    def f(self, z: Array) -> Array:
        return self.a * z + self.b if self.b else self.a * z

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return self.a * dy


@dataclass(frozen=True)
class Square(Activation):
    """y = z^2; f'(z) = 2 z."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return z * z

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return 2.0 * dy * z


@dataclass(frozen=True)
class IntegerPower(Activation):
    """y = z^n for a whole number n; f'(z) = n z^(n-1).

    Parameters
    ----------
    n : any whole number, but 0.

    >>> IntegerPower(-2).f(np.array([2.0]))
    array([0.25])
    """

    n: int

    def __post_init__(self) -> None:
        whole(self, "n")
        if self.n == 0:
            raise ValueError(f"{self!r}: give n != 0; z^0 is a constant")

    def f(self, z: Array) -> Array:
        return self._power(z, self.n)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        n = float(self.n)
        forms = {
            "n dy z^(n-1)": lambda: n * dy * self._power(z, self.n - 1),
            "n dy y / z": lambda: n * dy * y / z,
        }
        return usual(dy * (n * self._power(z, self.n - 1)), forms)

    @staticmethod
    def _power(z: Array, n: int) -> Array:
        return z**n if n >= 0 else 1 / z ** (-n)


@dataclass(frozen=True)
class Reciprocal(Activation):
    """y = 1 / z; f'(z) = -1 / z^2."""

    def f(self, z: Array) -> Array:
        return 1 / z

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return usual(
            -dy / z / z, {"-dy / z^2": lambda: -dy / (z * z), "-dy y^2": lambda: -dy * (y * y)}
        )


@dataclass(frozen=True)
class Sqrt(Activation):
    """y = sqrt(z); f'(z) = 1 / (2 y), which is infinite at 0."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return np.sqrt(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return 0.5 * dy / np.sqrt(z)


@dataclass(frozen=True)
class Rsqrt(Activation):
    """y = 1 / sqrt(z); f'(z) = -y / (2 z)."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return 1 / np.sqrt(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        root = np.sqrt(z)
        forms = {
            "-dy y^3 / 2": lambda: -0.5 * dy * (y * y * y),
            "-dy / (2 z sqrt(z))": lambda: -0.5 * dy / (z * root),
        }
        return usual(-0.5 * dy / root / z, forms)


@dataclass(frozen=True)
class Exp(Activation):
    """y = e^z; f'(z) = y."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return np.exp(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * np.exp(z)


@dataclass(frozen=True)
class Expm1(Activation):
    """y = e^z - 1; f'(z) = y + 1 = e^z."""

    def f(self, z: Array) -> Array:
        return usual(np.expm1(z), {"e^z - 1": lambda: np.exp(z) - 1})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * usual(
            np.exp(z), {"y + 1": lambda: y + 1, "expm1(z) + 1": lambda: np.expm1(z) + 1}
        )


@dataclass(frozen=True)
class Log(Activation):
    """y = log z; f'(z) = 1 / z.

    Parameters
    ----------
    base : "e", "2" or "10".
    """

    elementwise: ClassVar[bool] = True

    base: str = "e"

    def __post_init__(self) -> None:
        one_of(self, "base", ("e", "2", "10"))

    @property
    def _factor(self) -> float:
        return {"e": 1.0, "2": 1 / math.log(2), "10": 1 / math.log(10)}[self.base]

    def f(self, z: Array) -> Array:
        return np.log(z) if self.base == "e" else self._factor * np.log(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy / z if self.base == "e" else self._factor * (dy / z)


@dataclass(frozen=True)
class Log1p(Activation):
    """y = log(1 + z); f'(z) = 1 / (1 + z)."""

    def f(self, z: Array) -> Array:
        forms = {
            "log(1 + z)": lambda: np.log(1 + z),
            "Cephes's quotient for z > -0.29, from -0.41 on": lambda: _log1p_by_quotient(z),
        }
        return usual(np.log1p(z), forms)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy / (1 + z)


#: Cephes's log1p is z - z^2/2 + z^3 P(z) / Q(z) for 0.71 < 1 + z < 1.41.
P = (4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
     2.9911919328553073277375e1, 6.0949667980987787057556e1, 5.7112963590585538103336e1,
     2.0039553499201281259648e1)  # fmt: skip
Q = (1.0, 1.5062909083469192043167e1, 8.3047565967967209469434e1, 2.2176239823732856465394e2,
     3.0909872225312059774938e2, 2.1642788614495947685003e2,
     6.0118660497603843919306e1)  # fmt: skip
#: XLA takes it for sizes of z below this, where it is off by up to 230 units of the last place.
FROM = math.sqrt(2) - 1


def _log1p_by_quotient(z: Array) -> Array:
    x = np.clip(z, -FROM, FROM)
    top, bottom = (functools.reduce(lambda a, c: a * x + c, p, 0 * x) for p in (P, Q))
    near = x + (x * ((x * x) * (top / bottom)) - 0.5 * (x * x))
    return np.where(abs(z) < FROM, near, np.log1p(z))


@dataclass(frozen=True)
class Sin(Activation):
    """y = sin z; f'(z) = cos z."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return np.sin(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * np.cos(z)


@dataclass(frozen=True)
class Cos(Activation):
    """y = cos z; f'(z) = -sin z."""

    elementwise: ClassVar[bool] = True

    def f(self, z: Array) -> Array:
        return np.cos(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return -dy * np.sin(z)


@dataclass(frozen=True)
class Arctan(Activation):
    """y = arctan z; f'(z) = 1 / (1 + z^2)."""

    def f(self, z: Array) -> Array:
        return np.arctan(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        h = np.hypot(1 + 0 * z, z)
        return usual(dy / h / h, {"dy / (1 + z^2)": lambda: dy / (1 + z * z)})


@dataclass(frozen=True)
class Erf(Activation):
    """y = erf z; f'(z) = 2 / sqrt(pi) e^(-z^2)."""

    def f(self, z: Array) -> Array:
        return erf(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy * _bell(z)


@dataclass(frozen=True)
class Erfc(Activation):
    """y = 1 - erf z; f'(z) = -2 / sqrt(pi) e^(-z^2)."""

    def f(self, z: Array) -> Array:
        return usual(erfc(z), {"1 - erf(z)": lambda: 1 - erf(z)})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return -dy * _bell(z)


#: e^(-z^2) of such a number is 0 in every format.
FAR = 100.0


def _bell(z: Array) -> Array:
    z = np.clip(z, -FAR, FAR)
    return 2 / math.sqrt(math.pi) * np.exp(-(z * z))


@dataclass(frozen=True)
class Abs(Kinked):
    """y = |z|; f'(z) = 1 or -1, at 0 anything between them.

    Parameters
    ----------
    subgradient : the slope taken at 0: "left", "right" or a number in [-1, 1].
    """

    kinks = (Kink(0.0, -1.0, 1.0),)

    def f(self, z: Array) -> Array:
        return abs(z)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > 0, dy, -dy)


#: The step functions by name.
STEPS: dict[str, Callable[[Array], Array]] = {
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "nearest": np.rint,
    "step": lambda z: np.maximum(np.sign(z), 0),
}


@dataclass(frozen=True)
class Step(Activation):
    """A piecewise constant function, whose gradient is zero by definition.

    Parameters
    ----------
    to : "sign", "floor", "ceil", "nearest" (halves to even), or "step" (1 for z > 0, else 0).
    straight_through : dz = dy in place of zero (Bengio et al. 2013).

    >>> Step("floor", straight_through=True).df(np.ones(1), np.array([1.5]), np.array([1.0]))
    array([1.])
    """

    to: str = "sign"
    straight_through: bool = False

    def __post_init__(self) -> None:
        one_of(self, "to", tuple(STEPS))
        true_or_false(self, "straight_through")

    @property
    def zero_gradient(self) -> bool:
        return not self.straight_through

    def f(self, z: Array) -> Array:
        y = STEPS[self.to](z)
        if not self.straight_through:
            return y
        # As it is written with a function that stops gradients.
        return usual(y, {"z + (f(z) - z)": lambda: z + (y - z)})

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy if self.straight_through else np.zeros_like(dy)
