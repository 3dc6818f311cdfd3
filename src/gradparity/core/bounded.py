"""`Bounded`: a value and a bound on the rounding error of any correct way to compute it.

Evaluated on `Bounded` arrays, the formulas of `core` return the reference (in float64) *and* how
far a correct implementation at a given precision may be from it.  `gradparity.core.bounded_rules`
says how each NumPy function carries the bound along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .arrays import Array, NDArray
from .rounding import Rounding

__all__ = ["Bounded", "supported"]

#: How each NumPy function carries a bound along: filled by `gradparity.core.bounded_rules`.
UFUNCS: dict[Any, Callable[..., Any]] = {}
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


class Bounded(NDArrayOperatorsMixin):
    """A float64 array `value` with an elementwise bound `error` >= 0 on the rounding error.

    >>> x = Bounded.exactly(np.array([1.0, 2.0], np.float32), Rounding.of("float32"))
    >>> y = np.exp(x) * x
    >>> bool(np.all(y.error <= 11 * x.rounding.u * np.abs(y.value)))
    True
    """

    __slots__ = ("error", "fresh", "rounding", "value")
    __array_priority__ = 1000

    def __init__(self, value: NDArray, error: Any, rounding: Rounding, fresh: bool = False) -> None:
        self.value = value
        self.error = error  # an array of value's shape, or the float 0.0 for "exact"
        self.rounding = rounding
        self.fresh = fresh  # its error is one rounding of its own: one more in any sum

    @classmethod
    def exactly(cls, x: Array, rounding: Rounding) -> Bounded:
        """Given data: exact, except that a subnormal may be read as zero (XLA on CPU does)."""
        value = np.asarray(x, dtype=np.float64)
        magnitude = np.abs(value)
        subnormal = (magnitude < rounding.tiny) & (magnitude > 0.0)
        error = np.where(subnormal, magnitude, 0.0) if subnormal.any() else 0.0
        return cls(value, error, rounding)

    @classmethod
    def rounded(cls, x: Array, rounding: Rounding) -> Bounded:
        """A computed result, of which the implementation may hold the unrounded form (fused)."""
        value = np.asarray(x, dtype=np.float64)
        return cls(value, rounding.u * np.abs(value) + rounding.tiny, rounding, fresh=True)

    @classmethod
    def lift(cls, x: Any, rounding: Rounding) -> Bounded:
        """An operand of a formula: itself, given data, or a constant."""
        if isinstance(x, Bounded):
            return x
        if isinstance(x, float):
            # A constant such as 0.01 is rounded when it meets the implementation's dtype; a short
            # binary fraction (0.5, 2.0) is not.
            with np.errstate(over="ignore"):
                short = float(np.float16(x)) == x
            return cls(np.asarray(x), 0.0 if short else rounding.u * abs(x), rounding)
        return cls.exactly(x, rounding)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def full_error(self) -> Array:
        """The bound as an array of the value's shape."""
        return np.broadcast_to(np.asarray(self.error, dtype=np.float64), self.value.shape)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a Bounded array was about to be turned into a plain one, which would lose its bound; "
            "write the formula with the NumPy functions that keep it: " + ", ".join(supported())
        )

    def __getitem__(self, index: Any) -> Bounded:
        error = self.error if np.ndim(self.error) == 0 else self.full_error()[index]
        return Bounded(self.value[index], error, self.rounding)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = UFUNCS.get(ufunc)
        if rule is None or method != "__call__" or kwargs:
            raise TypeError(f"no rounding bound for np.{ufunc.__name__}; use {supported()}")
        with np.errstate(all="ignore"):
            return rule(*(Bounded.lift(x, self.rounding) for x in inputs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = FUNCTIONS.get(func)
        if rule is None:
            raise TypeError(f"no rounding bound for np.{func.__name__}; use {supported()}")
        with np.errstate(all="ignore"):
            return rule(self.rounding, *args, **kwargs)

    def sum(self, axis: int, keepdims: bool = False) -> Bounded:
        return np.sum(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: int, keepdims: bool = False) -> Bounded:
        return self.sum(axis=axis, keepdims=keepdims) / self.shape[axis]  # type: ignore[no-any-return]

    def max(self, axis: int, keepdims: bool = False) -> Bounded:
        error = np.max(self.full_error(), axis=axis, keepdims=keepdims)
        return Bounded(np.max(self.value, axis=axis, keepdims=keepdims), error, self.rounding)

    def reshape(self, *shape: int) -> Bounded:
        error = self.full_error().reshape(*shape) if np.ndim(self.error) else self.error
        return Bounded(self.value.reshape(*shape), error, self.rounding)

    @property
    def T(self) -> Bounded:
        error = self.error if np.ndim(self.error) == 0 else self.full_error().T
        return Bounded(self.value.T, error, self.rounding, self.fresh)

    def affine(self, W: Array, b: Array) -> Array:
        """See `gradparity.core.arrays.affine`."""
        if self.rounding.u > self.rounding.u_sum or self.rounding.mode != "none":
            return self @ W + b  # the product is rounded on its own, or its operands are
        y: list[Array] = [np.ones((*self.shape[:-1], 1)), self]
        w: list[Array] = [b.reshape(1, -1), W]
        return np.concatenate(y, axis=-1) @ np.concatenate(w, axis=0)

    def scatter_add(self, indices: tuple[int, ...], width: int) -> Bounded:
        """See `gradparity.core.arrays.scatter_add`."""

        def scattered(columns: Array) -> Array:
            out = np.zeros((width, columns.shape[0]))
            np.add.at(out, list(indices), columns.T)
            return out.T

        terms = int(np.bincount(indices, minlength=width).max(initial=1))
        gamma = self.rounding.summing_in_storage().gamma(terms - 1)
        own = self.full_error()
        error = scattered(own + gamma * (np.abs(self.value) + own)) + self.rounding.tiny
        return Bounded(scattered(self.value), error, self.rounding)

    def absorb(self, other: Bounded) -> Bounded:
        """See `gradparity.core.arrays.absorb`."""
        value, inherited = self.value + other.value, self.error + other.error
        # Twice, because the reference is such a sum too.
        own = 2.0 * np.minimum(
            self.rounding.u * (np.abs(value) + inherited), np.abs(other.value) + other.error
        )
        return Bounded(value, inherited + own + self.rounding.tiny, self.rounding)

    def total(self, parts: Sequence[Any]) -> Bounded:
        """See `gradparity.core.arrays.total`."""
        stacked: Any = np.stack([Bounded.lift(part, self.rounding) for part in parts])
        stacked.rounding = self.rounding.summing_in_storage()
        added = stacked.sum(axis=0)
        return Bounded(added.value, added.error, self.rounding)

    def admit(self, other: Bounded) -> Bounded:
        """This value, with a bound that covers both this form and `other`."""
        with np.errstate(all="ignore"):
            error = np.abs(self.value - other.value) + other.error
        # Where the other form is no number (0 / 0), no correct implementation has used it.
        error = np.maximum(self.error, np.where(np.isnan(other.value), 0.0, error))
        return Bounded(self.value, error, self.rounding)


def supported() -> list[str]:
    """The NumPy functions a formula may use."""
    return sorted({f.__name__ for f in (*UFUNCS, *FUNCTIONS) if hasattr(np, f.__name__)})
