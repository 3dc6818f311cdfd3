"""`Varied`: a value and how far rounding spreads it, through a whole network.

Worst-case bounds explode with depth; the spread of *independent* roundings does not.  Evaluated on
`Varied` arrays, the formulas of `core` return the reference (in float64) and, to first order,

* with ``Noise.of(precision)``: the variance of every element, V_z = sum (dz/dy)^2 V_y + V_own;
* with ``Noise.of(precision, seed)``: one draw of the error itself, e_z = sum (dz/dy) e_y + e_own,
  with a random sign for every rounding.  It knows what variances forget: that errors are shared.

Branches (the sign at a ReLU, the winner of a max) are always those of the reference.
`gradparity.core.arithmetic.varied_rules` says how each NumPy function carries the spread along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .arrays import Array, NDArray
from .carried import FUNCTIONS, UFUNCS, Carried
from .precision import Precision
from .rounding import VARIANCE

__all__ = ["Noise", "Varied"]


@dataclass(frozen=True, eq=False)
class Noise:
    """The roundings of one precision, as variances or as draws.

    Parameters
    ----------
    out, sums, factors : unit roundoff of a stored result, of a partial sum, and of the operands of
        matrix products (0 where they need no rounding).
    tiny, largest : range of the format.
    ordered : do not take the terms of a sum to come in a random order; see
        `varied_rules.accumulation`.
    rng : None for variances, a generator for draws.
    forms : whether variances cover the usual forms of a formula too.
    """

    out: float
    sums: float
    factors: float
    tiny: float
    largest: float
    ordered: bool = False
    rng: np.random.Generator | None = None
    forms: bool = False

    @classmethod
    def of(
        cls,
        precision: Any,
        seed: int | None = None,
        *,
        ordered: bool = False,
        forms: bool = False,
    ) -> Noise:
        """The roundings of a `Precision`, by name or dtype; with a seed, a draw of them.

        >>> Noise.of("float32").out == 2.0**-24
        True
        """
        p = Precision.of(precision)
        factors = 2.0**-p.factors if p.factors < p.digits else 0.0
        rng = None if seed is None else np.random.default_rng(seed)
        return cls(2.0**-p.digits, 2.0**-p.sums, factors, p.tiny, p.largest, ordered, rng, forms)

    def carried(self, factor: Any) -> Any:
        """The multiplier of a spread where the error is multiplied by `factor`."""
        return factor * factor if self.rng is None else factor

    def own(self, variance: Any, *, alike: bool = False) -> Any:
        """The spread of a rounding with this variance; `alike`: all elements err together."""
        variance = np.asarray(variance + VARIANCE * self.tiny**2)
        if self.rng is None:
            return variance
        shape = () if alike else variance.shape
        signs = 1.0 - 2.0 * self.rng.integers(0, 2, shape, dtype=np.int8)
        return np.sqrt(variance) * signs


class Varied(Carried):
    """A float64 array `value` and its `spread`: variances, or one draw of the error.

    >>> x = Varied.exactly(np.array([1.0, 2.0], np.float32), Noise.of("float32"))
    >>> y = x * x + x
    >>> bool(np.all(y.sigma < 2.0**-24 * 1.1 * y.value))
    True
    """

    __slots__ = ()
    #: Filled by `gradparity.core.arithmetic.varied_rules`.
    UFUNCS: ClassVar = {**UFUNCS}
    FUNCTIONS: ClassVar = {**FUNCTIONS}

    def __init__(self, value: NDArray, spread: Any, noise: Noise) -> None:
        super().__init__(np.asarray(value), spread, noise)

    @classmethod
    def constant(cls, x: float, noise: Noise) -> Any:
        return noise.own(VARIANCE * (noise.out * x) ** 2)

    @classmethod
    def unknown(cls, name: str) -> TypeError:
        return TypeError(f"no spread is known for np.{name}")

    @property
    def spread(self) -> Any:
        """An array of the value's shape, or a number for all; 0.0 for "exact"."""
        return self.companion

    @property
    def noise(self) -> Noise:
        return self.arithmetic  # type: ignore[no-any-return]

    @property
    def sigma(self) -> Array:
        """The standard deviation, in the value's shape; infinite where it is not known."""
        with np.errstate(all="ignore"):
            sigma = np.sqrt(self.full())
        return np.where(np.isnan(sigma), np.inf, sigma)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a Varied array was about to be turned into a plain one, which would lose its spread"
        )

    def moved_back(self, back: Callable[[Any], Any]) -> Varied:
        """See `gradparity.core.arithmetic.arrays.moved_back`."""
        noise, terms = self.noise, back(np.ones(self.shape))
        inherited = 0.0 if self.exact else back(self.full())
        if not (terms > 1).any():
            return Varied(back(self.value), inherited, noise)
        roundings = np.where(terms > 1, terms, 0) * back(self.value**2)
        own = noise.own(VARIANCE * noise.out**2 * roundings)
        return Varied(back(self.value), inherited + np.where(terms > 1, own, 0.0), noise)

    def among(
        self,
        forms: Mapping[str, Callable[[], Any]],
        rare: Mapping[str, Callable[[], Any]],
    ) -> Varied:
        """See `gradparity.core.arithmetic.arrays.usual`: the variance of the forms, if asked."""
        if not self.noise.forms or self.noise.rng is not None:
            return self
        spread = self.full()
        for form in forms.values():
            other = Varied.lift(form(), self.noise)
            with np.errstate(all="ignore"):
                apart = other.full() + np.square(self.value - other.value)
            # Where a form is not finite, no correct implementation has used it.
            spread = np.maximum(spread, np.where(np.isfinite(apart), apart, 0.0))
        return Varied(self.value, spread, self.noise)
