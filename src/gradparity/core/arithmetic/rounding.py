"""The arithmetic an implementation is entitled to: its unit roundoff, its range, and its sums.

The bound on a sum holds for every order of summation.  A `Rounding` that is ``statistical``
replaces it by 10 sigma of a model in which the roundings of a sum are independent: about sqrt(n) u
instead of n u, up to 500 times sharper, for sums and matrix products (the rest stays worst case).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import Array
from .precision import Precision, rounded_to
from .sums import FEW, Terms

__all__ = ["Forms", "Rounding"]

#: Width of the statistical bound in standard deviations; 7.4 is the worst that was measured.
SIGMAS = 10.0
#: Variance of one rounding error in units of u^2: uniform, at the worst mantissa.
VARIANCE = 1.0 / 3.0


@dataclass(frozen=True, eq=False)
class Forms:
    """Which usual forms a pass uses in place of the best ones, and those that it met.

    Parameters
    ----------
    chosen : names of forms, see `gradparity.core.arithmetic.arrays.usual`.
    own_output : whether an op's gradient is computed from the implementation's own stored output.
    every : whether the bound covers every form, so that what is outside is explained by none.
    at : the elements of an elementwise op that are of interest, as a mask; None for all.
    """

    chosen: tuple[str, ...] = ()
    own_output: bool = False
    every: bool = False
    at: Any = None
    met: dict[str, None] = field(default_factory=dict)

    def named(self, forms: Mapping[str, Any]) -> str:
        """The chosen one of these forms; "" for the best."""
        self.met.update(dict.fromkeys(forms))
        return next((name for name in self.chosen if name in forms), "")


@dataclass(frozen=True)
class Rounding:
    """The arithmetic an implementation is entitled to.

    Parameters
    ----------
    unit : unit roundoff of the dtype, 2^-24 for float32.
    u : the same with the reference's own 2^-53 added: what the rules charge.
    u_sum : the same of partial sums and inside functions; smaller than u in low precision.
    tiny : smallest normal number of the dtype; anything below it may be flushed to zero.
    largest : largest finite number of the dtype.
    statistical : 10 sigma instead of the worst case for the roundings inside sums.
    factors, mode : bits of the operands of matrix products, and how they are rounded to them:
        "nearest" and "toward zero" are done exactly, as the implementation did; "any" bounds every
        way; "none" leaves them as they are.
    distributive : a sum is charged by its terms, because implementations may multiply it out, as
        g a + g b for g (a + b); for formulas that a user gives.
    forms : the usual forms asked for; None for the best ones.  The best form of an elementwise
        function does not overflow on the way; a usual form does, and then is infinite.
    """

    unit: float
    u: float
    u_sum: float
    tiny: float
    largest: float
    statistical: bool = False
    factors: int = 53
    mode: str = "none"
    distributive: bool = False
    forms: Forms | None = None

    @classmethod
    def of(cls, precision: Any, *, statistical: bool = False, mode: str = "any") -> Rounding:
        """The rounding of a `Precision`, its name or NumPy dtype, against a float64 reference.

        >>> Rounding.of("float32").u == 2.0**-24 + 2.0**-53
        True
        """
        p = Precision.of(precision)
        u, u_sum = p.unit + 2.0**-53, 2.0**-p.sums + 2.0**-53
        mode = mode if p.factors < p.digits else "none"
        return cls(p.unit, u, u_sum, p.tiny, p.largest, statistical, p.factors, mode)

    @cached_property
    def in_storage(self) -> Rounding:
        """The same where partial sums have no more digits than what is stored."""
        return self if self.u_sum == self.u else replace(self, u_sum=self.u)

    @property
    def elementary(self) -> float:
        """The error of an elementary function: 8 u (the worst measured is 6.8 u, XLA's tanh).

        In low precision it is computed with the digits of sums, and then stored.
        """
        return max(8.0 * self.u_sum, 2.0 * self.u)

    def stored(self, value: Any) -> Any:
        """The rounding of a sum's result; with the digits of sums, it is one of the sum's own."""
        return self.u * np.abs(value) if self.u > self.u_sum else 0.0

    def operand(self, x: Any) -> Any:
        """An operand of a matrix product, as it enters it."""
        if self.mode in ("none", "any"):
            return x
        return np.asarray(rounded_to(x, self.factors, self.mode), dtype=np.float64)

    @property
    def operands(self) -> float:
        """Relative bound on the product of two operands rounded in any way: (1 + 2 unit)^2 - 1."""
        return (1.0 + 2.0 * 2.0**-self.factors) ** 2 - 1.0 if self.mode == "any" else 0.0

    def carried(self, factor: Any) -> Any:
        """The multiplier of a bound where the error is multiplied by `factor`."""
        return np.abs(factor)

    def gamma(self, n: Array) -> Array:
        """gamma_n = n u / (1 - n u), the relative error of n successive roundings, elementwise.

        Where n u is no longer small, e^(n u) - 1 >= (1 + u)^n - 1 holds too and stays finite.
        """
        nu = n * self.u_sum
        if isinstance(nu, float) and nu < 0.5:
            return nu / (1.0 - nu)
        return np.where(nu < 0.5, nu / (1.0 - np.minimum(nu, 0.5)), np.expm1(nu))

    def accumulation(self, n: int, terms: Terms) -> Array:
        """Bound on the rounding inside a sum of n terms."""
        if not self.statistical or n <= FEW:
            return self.gamma(n) * terms.magnitude() + n * self.tiny
        sum2, most2 = terms.squares(), np.square(terms.spread())
        bound = np.sqrt((n / 6 + 1) * sum2 + (n / 3 + 1) * most2)
        bound *= SIGMAS * self.u_sum * VARIANCE**0.5
        equal = terms.repeats()
        bound += np.where(equal >= FEW, equal, 0) * (0.5 * self.u_sum) * np.sqrt(most2)
        return bound + n * self.tiny
