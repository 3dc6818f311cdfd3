"""`Bounded`: a value and a bound on the rounding error of any correct way to compute it.

Evaluated on `Bounded` arrays, the formulas of `core` return the reference (in float64) *and* how
far a correct implementation at a given precision may be from it.  `bounded_rules`
says how each NumPy function carries the bound along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .arrays import Array, NDArray
from .carried import FUNCTIONS, UFUNCS, Carried
from .rounding import Rounding

__all__ = ["Bounded", "supported"]


class Bounded(Carried):
    """A float64 array `value` with an elementwise bound `error` >= 0 on the rounding error.

    >>> x = Bounded.exactly(np.array([1.0, 2.0], np.float32), Rounding.of("float32"))
    >>> y = np.exp(x) * x
    >>> bool(np.all(y.error <= 11 * x.rounding.u * np.abs(y.value)))
    True
    """

    __slots__ = ("fresh",)
    #: Filled by `bounded_rules`.
    UFUNCS: ClassVar = {**UFUNCS}
    FUNCTIONS: ClassVar = {**FUNCTIONS}

    def __init__(self, value: NDArray, error: Any, rounding: Rounding, fresh: bool = False) -> None:
        super().__init__(value, error, rounding)
        self.fresh = fresh  # its error is one rounding of its own: one more in any sum

    @classmethod
    def rounded(cls, x: Array, rounding: Rounding) -> Bounded:
        """A computed result, which a fused implementation may hold unrounded."""
        value = np.asarray(x, dtype=np.float64)
        return cls(value, rounding.u * np.abs(value) + rounding.tiny, rounding, fresh=True)

    @classmethod
    def constant(cls, x: float, rounding: Rounding) -> float:
        return rounding.u * abs(x)

    @classmethod
    def unknown(cls, name: str) -> TypeError:
        return TypeError(f"no rounding bound for np.{name}; use {supported()}")

    @property
    def error(self) -> Any:
        """The bound: an array of the value's shape, or the float 0.0 for "exact"."""
        return self.companion

    @property
    def rounding(self) -> Rounding:
        """The number format of the bound."""
        return self.arithmetic  # type: ignore[no-any-return]

    @property
    def exact(self) -> bool:
        e = self.companion
        return not (e.any() if isinstance(e, np.ndarray) else e)

    full_error = Carried.full

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a Bounded array was about to be turned into a plain one, which would lose its bound; "
            "write the formula with the NumPy functions that keep it: " + ", ".join(supported())
        )

    def moved(self, move: Callable[[Any, float], Any], fill: float = 0.0) -> Bounded:
        found = super().moved(move, fill)
        found.fresh = self.fresh
        return found

    def affine(self, W: Array, b: Array) -> Array:
        """See `gradparity.core.arithmetic.arrays.affine`."""
        if self.rounding.u > self.rounding.u_sum or self.rounding.mode != "none":
            # The product is rounded on its own, or its operands are.
            return self @ W + (b if b.ndim == 1 else np.expand_dims(b, -2))
        return super().affine(W, b)

    def moved_back(self, back: Callable[[Any], Any]) -> Bounded:
        """See `core.arithmetic.arrays.moved_back`; n terms in one place take n - 1 additions."""
        sums = np.maximum(back(np.ones(self.shape)) - 1.0, 0.0)
        value = back(self.value)
        if not sums.any():
            error = 0.0 if self.exact else back(self.full_error())
            return Bounded(value, error, self.rounding, self.fresh)
        own = self.full_error()
        gamma = self.rounding.in_storage.gamma(sums)
        error = back(own) + gamma * back(np.abs(self.value) + own)
        return Bounded(value, error + np.where(sums > 0, self.rounding.tiny, 0.0), self.rounding)

    def stored(self, unit: float = 0.0, least: float = 0.0, largest: float = np.inf) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.stored`: one rounding of its own."""
        unit, least = self.rounding.u + unit, self.rounding.tiny + least
        own = unit * np.abs(self.value) + least
        fits = np.abs(self.value) + self.error + own <= largest
        own = own if largest == np.inf else np.where(fits, own, np.inf)
        finite = np.isfinite(self.value)
        own = own if finite.all() else np.where(finite, own, 0.0)  # what was given stays exact
        return Bounded(self.value, self.error + own, self.rounding)

    def absorb(self, other: Bounded) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.absorb`."""
        value, inherited = self.value + other.value, self.error + other.error
        # Twice, because the reference is such a sum too.
        own = 2.0 * np.minimum(
            self.rounding.u * (np.abs(value) + inherited), np.abs(other.value) + other.error
        )
        return Bounded(value, inherited + own + self.rounding.tiny, self.rounding)

    def accumulated(self, c: Any, n: int) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.accumulated`: every partial sum may hold c."""
        own: Any = self + c
        extra = self.rounding.gamma(float(n)) * np.abs(Bounded.lift(c, self.rounding).value)
        kept = np.isinf(own.value) & (np.asarray(own.error) == 0.0)  # a given infinity
        return Bounded(own.value, own.error + np.where(kept, 0.0, extra), self.rounding)

    def total(self, parts: Sequence[Any]) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.total`."""
        stacked: Any = np.stack([Bounded.lift(part, self.rounding) for part in parts])
        in_storage = self.rounding.in_storage
        added = Bounded(stacked.value, stacked.error, in_storage).sum(axis=0)
        return Bounded(added.value, added.error, self.rounding)

    def among(
        self,
        forms: Mapping[str, Callable[[], Any]],
        rare: Mapping[str, Callable[[], Any]],
    ) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.usual`: this, or the form that is asked for."""
        asked, forms = self.rounding.forms, {**forms, **rare}
        name = asked.named(forms) if asked is not None else ""
        if name:
            return Bounded.lift(forms[name](), self.rounding)
        return self.covering(forms) if asked is not None and asked.every else self

    def covering(self, forms: Mapping[str, Callable[[], Any]]) -> Bounded:
        """See `gradparity.core.arithmetic.arrays.covering`."""
        error = self.full_error()
        for form in forms.values():
            other = Bounded.lift(form(), self.rounding)
            with np.errstate(all="ignore"):  # a form that is not finite adds nothing
                apart = np.abs(other.value - self.value) + other.full_error()
            error = np.maximum(error, np.where(np.isfinite(apart), apart, 0.0))
        return Bounded(self.value, error, self.rounding)


def supported() -> list[str]:
    """The NumPy functions a formula may use."""
    return sorted(
        {f.__name__ for f in (*Bounded.UFUNCS, *Bounded.FUNCTIONS) if hasattr(np, f.__name__)}
    )
