"""The arithmetic an implementation is entitled to: its unit roundoff, its range, and its sums.

The bound on a sum holds for every order of summation.  A `Rounding` that is ``statistical``
replaces it by 10 sigma of a model in which the roundings of a sum are independent: about sqrt(n) u
instead of n u, up to 500 times sharper, for sums and matrix products (the rest stays worst case).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Array

__all__ = ["FEW", "Rounding"]

#: Width of the statistical bound in standard deviations; 7.4 is the worst that was measured.
SIGMAS = 10.0
#: Variance of one rounding error in units of u^2: uniform, at the worst mantissa.
VARIANCE = 1.0 / 3.0
#: Below this many terms the worst case is the sharper one.
FEW = 16


@dataclass(frozen=True)
class Rounding:
    """The arithmetic an implementation is entitled to.

    Parameters
    ----------
    unit : unit roundoff of the dtype, 2^-24 for float32.
    u : the same with the reference's own 2^-53 added: what the rules charge.
    tiny : smallest normal number of the dtype; anything below it may be flushed to zero.
    largest : largest finite number of the dtype.
    statistical : 10 sigma instead of the worst case for the roundings inside sums.
    random_order : with `statistical`, terms are taken to come in a random order, which is cheaper
        to bound and sharper, and wrong for sorted data: ask again without it before accusing.
    """

    unit: float
    u: float
    tiny: float
    largest: float
    statistical: bool = False
    random_order: bool = False

    @classmethod
    def of(cls, dtype: Any, *, statistical: bool = False, random_order: bool = False) -> Rounding:
        """The rounding of a NumPy float dtype, judged against a float64 reference.

        >>> Rounding.of("float32").u == 2.0**-24 + 2.0**-53
        True
        """
        info = np.finfo(dtype)
        unit = 0.5 * float(info.eps)
        limits = float(info.tiny), float(info.max)
        return cls(unit, unit + 2.0**-53, *limits, statistical, random_order)

    def gamma(self, n: int) -> float:
        """gamma_n = n u / (1 - n u), the relative error of n successive roundings.

        Where n u is no longer small, e^(n u) - 1 >= (1 + u)^n - 1 holds too and stays finite.
        """
        nu = n * self.u
        return nu / (1.0 - nu) if nu < 0.5 else float(np.expm1(nu))

    def accumulation(
        self, n: int, magnitude: Any, squares: Any, spread: Any, repeats: Any
    ) -> Array:
        """Bound on the rounding inside a sum of n terms t.

        `magnitude` is sum |t| and `squares` sum t^2; `spread` is how far the partial sums range
        when the terms come in their own order, so that an order which builds a large partial
        sum and takes it down again (all positive terms first) is not mistaken for a random one.
        `repeats` is how many terms may be equal: added one by one they are rounded alike, each by
        up to half a unit of the partial sum.  All are functions, because few are ever needed.
        """
        if not self.statistical or n <= FEW:
            return self.gamma(n) * magnitude() + n * self.tiny
        sum2, most2 = squares(), np.square(spread())
        bound = np.sqrt((n / 6 + 1) * sum2 + (n / 3 + 1) * most2)
        bound *= SIGMAS * self.u * VARIANCE**0.5
        if not self.random_order:
            equal = repeats()
            alike = np.where(equal >= FEW, equal, 0) * (0.5 * self.u)
            bound += alike * np.sqrt(most2)
        return bound + n * self.tiny
