"""Further activations with kinks and jumps: hard gates, shrinkage, a threshold, a learned slope."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.arrays import Array, NDArray, usual
from ..formulas.arguments import above_zero, finite, positive
from ..formulas.choices import Kink, Slopes
from ..formulas.op import Kinked, Op, Shape

__all__ = [
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "PReLU",
    "Softshrink",
    "Threshold",
]


@dataclass(frozen=True)
class Hardsigmoid(Kinked):
    """y = min(max(z/6 + 1/2, 0), 1); f'(z) = 1/6 between -3 and 3; kinks there: [0, 1/6].

    Parameters
    ----------
    subgradient : the slope taken at -3 and 3: "left", "right" or a number in [0, 1/6].
    """

    kinks = (Kink(-3.0, 0.0, 1 / 6), Kink(3.0, 1 / 6, 0.0))

    def f(self, z: Array) -> Array:
        inside = usual((z + 3) / 6, {"z/6 + 1/2": lambda: z / 6 + 0.5})
        return np.where(z <= -3, 0, np.where(z >= 3, 1, inside))

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where((z > -3) & (z <= 3), dy / 6, 0)


@dataclass(frozen=True)
class Hardswish(Kinked):
    """y = z (z + 3) / 6 between -3 and 3, 0 below, z above; f'(z) = z/3 + 1/2 between.

    Kinks at -3: [-1/2, 0], and at 3: [1, 3/2].

    Parameters
    ----------
    subgradient : the slope taken at -3 and 3: "left" or "right".
    """

    kinks = (Kink(-3.0, 0.0, -0.5), Kink(3.0, 1.5, 1.0))

    def f(self, z: Array) -> Array:
        form = {"z min(z/6 + 1/2, 1)": lambda: z * np.minimum(z / 6 + 0.5, 1)}
        return np.where(z <= -3, 0, usual(z * (np.minimum(z + 3, 6) / 6), form))

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        inside = usual(
            dy * ((2.0 * z + 3) / 6),
            {
                "z/3 + 1/2": lambda: dy * (z / 3 + 0.5),
                "(z + 3)/6 + z/6": lambda: dy * ((z + 3) / 6) + dy * z / 6,
            },
        )
        return np.where(z <= -3, 0, np.where(z <= 3, inside, dy))


@dataclass(frozen=True)
class Softshrink(Kinked):
    """y = z - l for z > l, z + l for z < -l, else 0; f'(z) = 1 or 0; kinks at -l and l: [0, 1].

    Parameters
    ----------
    l : half the width of the interval that becomes 0; positive.
    subgradient : the slope taken at -l and l: "left", "right" or a number in [0, 1].
    """

    l: float = 0.5  # noqa: E741  (lambda in PyTorch)
    subgradient: float | str = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        above_zero(self, "l")
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        return Kink(-self.l, 1.0, 0.0), Kink(self.l, 0.0, 1.0)

    def f(self, z: Array) -> Array:
        return np.where(abs(z) > self.l, np.where(z > 0, z - self.l, z + self.l), 0)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where((z > self.l) | (z <= -self.l), dy, 0)


@dataclass(frozen=True)
class Hardshrink(Softshrink):
    """y = z for |z| > l, else 0; f'(z) = 1 or 0, at the jumps -l and l either one.

    Parameters
    ----------
    l, subgradient : as in `Softshrink`.
    """

    def f(self, z: Array) -> Array:
        return np.where(abs(z) > self.l, z, 0)


@dataclass(frozen=True)
class Threshold(Kinked):
    """y = z for z > t, else v; f'(z) = 1 or 0, at t either one.

    Parameters
    ----------
    t : the threshold.
    v : the value for numbers up to t.
    subgradient : the slope taken at t: "left", "right" or a number in [0, 1].
    """

    t: float = 0.0
    v: float = 0.0
    subgradient: float | str = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        finite(self, "t", "v")
        super().__post_init__()

    @property
    def kinks(self) -> tuple[Kink, ...]:
        return (Kink(self.t, 0.0, 1.0),)

    def f(self, z: Array) -> Array:
        return np.where(z > self.t, z, self.v)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        return np.where(z > self.t, dy, 0)


@dataclass(frozen=True)
class PReLU(Op):
    """z = y for y > 0, else a y (He et al. 2015); dy = dz or a dz,  da = sum of dz y over y <= 0.

    At y = 0 anything between the slopes is valid; this op takes a.

    Parameters
    ----------
    n : how many slopes: 1, or one for each channel on axis 1.
    """

    n: int = 1

    def __post_init__(self) -> None:
        positive(self, "n")

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"a": (self.n,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if self.n > 1 and (len(shape) < 2 or shape[1] != self.n):
            raise ValueError(f"PReLU takes {self.n} channels on axis 1, received shape {shape}")
        return shape

    def initial(self, letter: str, rng: np.random.Generator, shape: Shape) -> NDArray:
        """Slopes around PyTorch's 1/4."""
        drawn: NDArray = rng.uniform(0.1, 0.4, shape)
        return drawn

    def _beside(self, a: Array, y: Array) -> Array:
        """The slopes, in a shape that broadcasts against y."""
        return a.reshape(*(-1 if i == 1 and self.n > 1 else 1 for i in range(max(y.ndim, 1))))

    def forward(self, *y: Array) -> Array:
        x, a = y
        return np.where(x > 0, x, self._beside(a, x) * x)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, a = y
        others = tuple(i for i in range(x.ndim) if i != 1 or self.n == 1)
        da = np.where(x > 0, 0, dz * x).sum(axis=others, keepdims=True).reshape(self.n)
        return np.where(x > 0, dz, self._beside(a, x) * dz), da

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        x, a = y
        at = np.abs(x) < tiny
        slope = np.broadcast_to(self._beside(a, x), x.shape)
        return Slopes(at, np.minimum(slope, 1.0), np.maximum(slope, 1.0)) if at.any() else None
