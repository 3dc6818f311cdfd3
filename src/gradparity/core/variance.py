"""`Varied`: a value and how far rounding spreads it, through a whole network.

Worst-case bounds explode with depth; the spread of *independent* roundings does not.  Evaluated on
`Varied` arrays, the formulas of `core` return the reference (in float64) and, to first order,

* with ``Noise.of(precision)``: the variance of every element, V_z = sum (dz/dy)^2 V_y + V_own;
* with ``Noise.of(precision, seed)``: one draw of the error itself, e_z = sum (dz/dy) e_y + e_own,
  with a random sign for every rounding.  It knows what variances forget: that errors are shared.

Branches (the sign at a ReLU, the winner of a max) are always those of the reference.
`gradparity.core.noise` says how each NumPy function carries the spread along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .arrays import Array, NDArray
from .precision import Precision
from .rounding import VARIANCE

__all__ = ["Noise", "Varied"]

#: How each NumPy function carries a spread along: filled by `gradparity.core.noise`.
UFUNCS: dict[Any, Callable[..., Any]] = {}
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


@dataclass(frozen=True, eq=False)
class Noise:
    """The roundings of one precision, as variances or as draws.

    Parameters
    ----------
    out, sums, factors : unit roundoff of a stored result, of a partial sum, and of the operands of
        matrix products (0 where they need no rounding).
    tiny, largest : range of the format.
    ordered : do not take the terms of a sum to come in a random order; see `noise.accumulation`.
    rng : None for variances, a generator for draws.
    """

    out: float
    sums: float
    factors: float
    tiny: float
    largest: float
    ordered: bool = False
    rng: np.random.Generator | None = None

    @classmethod
    def of(cls, precision: Any, seed: int | None = None, *, ordered: bool = False) -> Noise:
        """The roundings of a `Precision`, by name or dtype; with a seed, a draw of them.

        >>> Noise.of("float32").out == 2.0**-24
        True
        """
        p = Precision.of(precision)
        factors = 2.0**-p.factors if p.factors < p.digits else 0.0
        rng = None if seed is None else np.random.default_rng(seed)
        return cls(2.0**-p.digits, 2.0**-p.sums, factors, p.tiny, p.largest, ordered, rng)

    def carried(self, factor: Any) -> Any:
        """What a spread is multiplied by where the error is multiplied by `factor`."""
        return factor * factor if self.rng is None else factor

    def own(self, variance: Any, *, alike: bool = False) -> Any:
        """The spread of a rounding with this variance; `alike`: all elements err together."""
        variance = np.asarray(variance + VARIANCE * self.tiny**2)
        if self.rng is None:
            return variance
        shape = () if alike else variance.shape
        signs = 1.0 - 2.0 * self.rng.integers(0, 2, shape, dtype=np.int8)
        return np.sqrt(variance) * signs


class Varied(NDArrayOperatorsMixin):
    """A float64 array `value` and its `spread`: variances, or one draw of the error.

    >>> x = Varied.exactly(np.array([1.0, 2.0], np.float32), Noise.of("float32"))
    >>> y = x * x + x
    >>> bool(np.all(y.sigma < 2.0**-24 * 1.1 * y.value))
    True
    """

    __slots__ = ("noise", "spread", "value")
    __array_priority__ = 1000

    def __init__(self, value: NDArray, spread: Any, noise: Noise) -> None:
        self.value = np.asarray(value)
        self.spread = spread  # an array of value's shape, or the float 0.0 for "exact"
        self.noise = noise

    @classmethod
    def exactly(cls, x: Array, noise: Noise) -> Varied:
        """Given data: exact, except that a subnormal may be read as zero."""
        value = np.asarray(x, dtype=np.float64)
        subnormal = (np.abs(value) < noise.tiny) & (value != 0.0)
        spread = np.where(subnormal, noise.carried(np.abs(value)), 0.0) if subnormal.any() else 0.0
        return cls(value, spread, noise)

    @classmethod
    def lift(cls, x: Any, noise: Noise) -> Varied:
        """An operand of a formula: itself, given data, or a constant."""
        if isinstance(x, Varied):
            return x
        if isinstance(x, float):
            with np.errstate(over="ignore"):
                short = float(np.float16(x)) == x
            own = 0.0 if short else noise.own(VARIANCE * (noise.out * x) ** 2)
            return cls(np.asarray(x), own, noise)
        return cls.exactly(x, noise)

    @property
    def exact(self) -> bool:
        """Whether nothing has been rounded yet."""
        return np.ndim(self.spread) == 0 and not self.spread

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

    @property
    def sigma(self) -> Array:
        """The standard deviation, in the value's shape; what is not known is infinite."""
        with np.errstate(all="ignore"):
            sigma = np.sqrt(self.full_spread())
        return np.where(np.isnan(sigma), np.inf, sigma)

    def full_spread(self) -> Array:
        """The spread as an array of the value's shape."""
        return np.broadcast_to(np.asarray(self.spread, dtype=np.float64), self.value.shape)

    def moved(self, move: Callable[[Any], Any]) -> Varied:
        """The same elements elsewhere."""
        return Varied(move(self.value), 0.0 if self.exact else move(self.full_spread()), self.noise)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a Varied array was about to be turned into a plain one, which would lose its spread"
        )

    def __getitem__(self, index: Any) -> Varied:
        return self.moved(lambda a: a[index])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = UFUNCS.get(ufunc)
        if rule is None or method != "__call__" or kwargs:
            raise TypeError(f"no spread is known for np.{ufunc.__name__}")
        with np.errstate(all="ignore"):
            return rule(*(Varied.lift(x, self.noise) for x in inputs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = FUNCTIONS.get(func)
        if rule is None:
            raise TypeError(f"no spread is known for np.{func.__name__}")
        with np.errstate(all="ignore"):
            return rule(self.noise, *args, **kwargs)

    def sum(self, axis: int, keepdims: bool = False) -> Varied:
        return np.sum(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: int, keepdims: bool = False) -> Varied:
        return self.sum(axis=axis, keepdims=keepdims) / self.shape[axis]  # type: ignore[no-any-return]

    def max(self, axis: int, keepdims: bool = False) -> Varied:
        return np.max(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def reshape(self, *shape: int) -> Varied:
        return self.moved(lambda a: a.reshape(*shape))

    @property
    def T(self) -> Varied:
        return self.moved(lambda a: a.T)

    def affine(self, W: Array, b: Array) -> Array:
        """See `gradparity.core.arrays.affine`."""
        y: list[Array] = [np.ones((*self.shape[:-1], 1)), self]
        w: list[Array] = [b.reshape(1, -1), W]
        return np.concatenate(y, axis=-1) @ np.concatenate(w, axis=0)

    def scatter_add(self, indices: tuple[int, ...], width: int) -> Varied:
        """See `gradparity.core.arrays.scatter_add`."""

        def scattered(columns: Array) -> Array:
            out = np.zeros((width, columns.shape[0]))
            np.add.at(out, list(indices), columns.T)
            return out.T

        value, noise = scattered(self.value), self.noise
        terms = np.bincount(indices, minlength=width)
        roundings = np.where(terms > 1, terms, 0) * scattered(self.value**2)
        return Varied(
            value,
            scattered(self.full_spread()) + noise.own(VARIANCE * noise.out**2 * roundings),
            noise,
        )

    def absorb(self, other: Varied) -> Varied:
        """See `gradparity.core.arrays.absorb`."""
        return self + other  # type: ignore[no-any-return]

    def admit(self, other: Varied) -> Varied:
        """This value, with a variance that covers both this form and `other`."""
        if self.noise.rng is not None:
            return self
        with np.errstate(all="ignore"):
            spread = other.full_spread() + np.square(self.value - other.value)
        # Where the other form is no number (0 / 0), no correct implementation has used it.
        spread = np.where(np.isfinite(spread), spread, 0.0)
        return Varied(self.value, np.maximum(self.full_spread(), spread), self.noise)
