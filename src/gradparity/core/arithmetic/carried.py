"""The base of the number systems: a value, and what every operation carries along beside it.

`Bounded` carries a bound on the rounding error, `Varied` a variance or one draw of it.  Both see
the same NumPy calls of the same formulas; how a function changes the companion is in their tables
of rules, and what merely moves elements about is here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .arrays import Array, NDArray

__all__ = [
    "Axis",
    "Carried",
    "axes_of",
    "given_infinity",
    "in_range",
    "keeping_infinity",
    "one_axis",
]

#: One axis, several, or all of them.
Axis: TypeAlias = int | tuple[int, ...] | None


class Carried(NDArrayOperatorsMixin):
    """A float64 array `value`, its `companion`, and the `arithmetic` that says what happens to it.

    The companion is an array of the value's shape, or a number for all elements: 0.0 for "exact".
    """

    __slots__ = ("arithmetic", "companion", "value")
    __array_priority__ = 1000

    #: How each NumPy function carries the companion along.
    UFUNCS: ClassVar[dict[Any, Callable[..., Any]]]
    FUNCTIONS: ClassVar[dict[Any, Callable[..., Any]]]

    def __init__(self, value: NDArray, companion: Any, arithmetic: Any) -> None:
        self.value = value
        self.companion = companion
        self.arithmetic = arithmetic

    @classmethod
    def exactly(cls, x: Array, arithmetic: Any) -> Self:
        """Given data: exact, except that a subnormal may be read as zero (XLA on CPU does)."""
        value = np.asarray(x, dtype=np.float64)
        size = np.abs(x if isinstance(x, np.ndarray) and x.dtype == np.float32 else value)
        subnormal = size < arithmetic.tiny
        subnormal &= size > 0.0
        lost: Any = 0.0
        if subnormal.any():
            lost = np.where(subnormal, arithmetic.carried(np.abs(value)), 0.0)
        return cls(value, lost, arithmetic)

    @classmethod
    @abstractmethod
    def constant(cls, x: float, arithmetic: Any) -> Any:
        """The companion of a constant that is rounded when it meets the implementation's dtype."""

    @classmethod
    @abstractmethod
    def unknown(cls, name: str) -> TypeError:
        """The error for a NumPy function without a rule."""

    @classmethod
    def lift(cls, x: Any, arithmetic: Any) -> Self:
        """An operand of a formula: itself, given data, or a constant."""
        if isinstance(x, cls):
            return x
        if isinstance(x, float):
            lost = 0.0 if _is_short(x) else cls.constant(x, arithmetic)
            return cls(np.asarray(x), lost, arithmetic)
        return cls.exactly(x, arithmetic)

    @property
    def exact(self) -> bool:
        """Whether nothing has been rounded yet."""
        return np.ndim(self.companion) == 0 and not self.companion

    def full(self) -> Array:
        """The companion as an array of the value's shape."""
        if np.shape(self.companion) == self.value.shape:
            return np.asarray(self.companion, dtype=np.float64)
        if np.ndim(self.companion) == 0:
            return np.full(self.value.shape, self.companion, dtype=np.float64)
        return np.broadcast_to(np.asarray(self.companion, dtype=np.float64), self.value.shape)

    def moved(self, move: Callable[[Any, float], Any], fill: float = 0.0) -> Self:
        """See `gradparity.core.arithmetic.arrays.moved`; what is filled in is exact."""
        companion = move(self.full(), 0.0) if np.ndim(self.companion) else self.companion
        return type(self)(move(self.value, fill), companion, self.arithmetic)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def __getitem__(self, index: Any) -> Self:
        return self.moved(lambda a, _: a[index])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = self.UFUNCS.get(ufunc)
        name = ufunc.__name__
        if rule is not None and ("out" in kwargs or method == "at"):
            raise TypeError(
                f"np.{name} was called to write in place; do not write in place (no out=, no "
                "a *= b), but make a new array, as a = a * b does"
            )
        if method != "__call__":
            raise self.unknown(f"{name}.{method}")
        if rule is None or kwargs:
            raise self.unknown(name + "".join(f" with {option}=" for option in kwargs))
        with np.errstate(all="ignore"):
            return rule(*(self.lift(x, self.arithmetic) for x in inputs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = self.FUNCTIONS.get(func)
        if rule is None:
            raise self.unknown(func.__name__)
        with np.errstate(all="ignore"):
            return rule(self.arithmetic, *args, **kwargs)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Self:
        return np.sum(cast(Any, self), axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Self:
        n = math.prod(self.shape[a] for a in axes_of(axis, self.ndim))
        return self.sum(axis=axis, keepdims=keepdims) / n  # type: ignore[no-any-return]

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        return np.max(cast(Any, self), axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def reshape(self, *shape: int) -> Self:
        return self.moved(lambda a, _: a.reshape(*shape))

    @property
    def T(self) -> Self:
        return self.moved(lambda a, _: a.T)

    @property
    def mT(self) -> Self:
        return self.moved(lambda a, _: a.mT)

    def affine(self, W: Array, b: Array) -> Array:
        """See `gradparity.core.arithmetic.arrays.affine`: the bias is one more row of W."""
        y: list[Array] = [np.ones((*self.shape[:-1], 1)), self]
        w: list[Array] = [np.expand_dims(b, -2), W]
        return np.concatenate(y, axis=-1) @ np.concatenate(w, axis=-2)


@cache
def _is_short(x: float) -> bool:
    """Whether x is a short binary fraction (0.5, 2.0), which no dtype rounds; 0.01 is not."""
    with np.errstate(over="ignore"):
        return float(np.float16(x)) == x


#: `Bounded` or `Varied`.
Kind = TypeVar("Kind", bound=Carried)


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes meant by `axis=`, none of them negative; all for None.

    >>> axes_of(None, 3), axes_of(-1, 3), axes_of((0, -1), 3)
    ((0, 1, 2), (2,), (0, 2))
    """
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis))


def one_axis(a: NDArray, axes: tuple[int, ...]) -> NDArray:
    """These axes joined into one, which comes first.

    >>> one_axis(np.zeros((2, 3, 4)), (0, 2)).shape
    (8, 3)
    """
    kept = [i for i in range(a.ndim) if i not in axes]
    n = math.prod(a.shape[i] for i in axes)
    return np.transpose(a, (*axes, *kept)).reshape(n, *(a.shape[i] for i in kept))


def whole_exponent(n: Carried) -> int:
    """n of a ** n; raises TypeError unless it is a whole number >= 0."""
    exponent = float(n.value) if n.value.ndim == 0 else -1.0
    if exponent < 0 or exponent != int(exponent):
        raise TypeError(f"no rule for ** {n.value}; use whole numbers >= 0, or products")
    return int(exponent)


#: Less than half of the last digit of the largest float32, relative to it.
HALF_STEP = 2.0**-26


def in_range(value: Array, companion: Array, largest: float) -> Array:
    """The companion of a result; infinite where the implementation may have overflowed.

    What exceeds the largest number by less than a rounding is rounded to it, such as a mask filled
    with the lowest number, to which something is added.
    """
    most = largest * (1.0 + HALF_STEP)
    if max(value.max(initial=0.0), -value.min(initial=0.0)) <= most:
        return companion
    return np.where(np.abs(value) <= most, companion, np.inf)


def given_infinity(x: Carried) -> NDArray:
    """True at an infinity that was given, such as a mask's; not at an overflow."""
    given: NDArray = np.isinf(x.value) & (np.asarray(x.companion) == 0.0)
    return given


def keeping_infinity(z: Kind, given: Callable[[], Any]) -> Kind:
    """A sum z, exact where it is infinite because a term is a given infinity."""
    infinite = np.isinf(z.value)
    if not infinite.any():
        return z
    companion = np.where(infinite & given(), 0.0, z.companion)
    return type(z)(z.value, companion, z.arithmetic)


def _negative(a: Carried) -> Carried:
    return type(a)(-a.value, a.arithmetic.carried(-1.0) * a.companion, a.arithmetic)


def _absolute(a: Carried) -> Carried:
    sign = np.where(a.value < 0, -1.0, 1.0)
    companion = 0.0 if a.exact else a.arithmetic.carried(sign) * a.companion
    return type(a)(np.abs(a.value), companion, a.arithmetic)


def _lifted(arithmetic: Any, parts: Sequence[Any]) -> list[Carried]:
    kind = next(type(x) for x in parts if isinstance(x, Carried))
    return [kind.lift(x, arithmetic) for x in parts]


def _where(arithmetic: Any, condition: Array, *either: Any) -> Carried:
    a, b = _lifted(arithmetic, either)
    companion = 0.0 if a.exact and b.exact else np.where(condition, a.companion, b.companion)
    return type(a)(np.where(condition, a.value, b.value), companion, arithmetic)


def _joined(func: Any) -> Callable[..., Carried]:
    def rule(arithmetic: Any, parts: Sequence[Any], axis: int = 0) -> Carried:
        lifted = _lifted(arithmetic, parts)
        value = func([x.value for x in lifted], axis=axis)
        exact = all(x.exact for x in lifted)
        companion = 0.0 if exact else func([x.full() for x in lifted], axis=axis)
        return type(lifted[0])(value, companion, arithmetic)

    return rule


def _shaped(func: Any) -> Callable[..., Carried]:
    return lambda _, x, *args, **kwargs: x.moved(lambda a, fill: func(a, *args, **kwargs))


def _constant_like(func: Any) -> Callable[..., Carried]:
    return lambda arithmetic, x: type(x)(func(x.value), 0.0, arithmetic)


def _compared(ufunc: Any) -> Callable[..., Any]:
    return lambda a, b: ufunc(a.value, b.value)


#: What only moves elements about.
MOVING = (
    np.reshape, np.repeat, np.swapaxes, np.transpose, np.moveaxis, np.expand_dims, np.squeeze,
    np.broadcast_to, np.flip, np.roll, np.take, np.diagonal,
)  # fmt: skip
#: What both number systems do alike.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _where,
    np.mean: lambda _, x, axis=None, keepdims=False: x.mean(axis=axis, keepdims=keepdims),
    **{f: _joined(f) for f in (np.concatenate, np.stack)},
    **{f: _shaped(f) for f in MOVING},
    **{f: _constant_like(f) for f in (np.zeros_like, np.ones_like)},
    np.argsort: lambda _, x, axis=-1, kind=None: np.argsort(x.value, axis=axis, kind=kind),
}

#: Decided on the values.
COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)
#: The same of ufuncs.
UFUNCS: dict[Any, Callable[..., Any]] = {
    np.negative: _negative,
    np.absolute: _absolute,
    **{f: _compared(f) for f in COMPARISONS},
}
