"""The few array functions the formulas need and NumPy lacks.

Every formula in `core` is written once and evaluated in several arithmetics: plain arrays of any
float dtype, object arrays of high-precision numbers, and `Bounded` arrays.  Hence three rules:
nothing writes in place, nothing forces float64, and whatever NumPy cannot dispatch stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .error_function import erf_of_floats, erfc_of_floats

#: A real array, in contrast to:
NDArray: TypeAlias = npt.NDArray[Any]

#: What a formula takes and returns: an ndarray of any float dtype, one of objects, or a `Bounded`.
Array: TypeAlias = Any

__all__ = [
    "Array",
    "NDArray",
    "absorb",
    "accumulated",
    "affine",
    "covering",
    "erf",
    "erfc",
    "largest",
    "like",
    "log_add",
    "moved",
    "moved_back",
    "native",
    "scatter_add",
    "split",
    "stored",
    "total",
    "unbroadcast",
    "usual",
    "vanishes",
]


def native(array: NDArray) -> NDArray:
    """The same numbers in the machine's own byte order; the array itself if they are.

    >>> native(np.ones(2, ">f8")).dtype == np.float64
    True
    """
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _erf_of(x: Any) -> Any:
    return x.erf() if hasattr(x, "erf") else math.erf(x)


#: A ufunc (so that `Bounded` can take part), with object output (so that `erf` restores the dtype).
erf_ufunc = np.frompyfunc(_erf_of, 1, 1)


def erf(x: Array) -> Array:
    """The error function 2/sqrt(pi) int_0^x exp(-t^2) dt, elementwise, accurate to float64.

    >>> erf(np.array([0.0, 0.5], dtype=np.float32))
    array([0.       , 0.5204999], dtype=float32)
    """
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return erf_of_floats(x).astype(x.dtype)
    y: Any = erf_ufunc(x)
    return y.astype(x.dtype) if isinstance(x, np.ndarray) else y


def _erfc_of(x: Any) -> Any:
    return x.erfc() if hasattr(x, "erfc") else math.erfc(x)


#: As `erf_ufunc`.
erfc_ufunc = np.frompyfunc(_erfc_of, 1, 1)


def erfc(x: Array) -> Array:
    """1 - erf(x), elementwise, accurate to float64 in the tail too.

    >>> [f"{float(y):.6g}" for y in erfc(np.array([0.0, 10.0]))]
    ['1', '2.08849e-45']
    """
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return erfc_of_floats(x).astype(x.dtype)
    y: Any = erfc_ufunc(x)
    return y.astype(x.dtype) if isinstance(x, np.ndarray) else y


def affine(y: Array, W: Array, b: Array) -> Array:
    """y W + b over the last axis, (..., n) (n, m) (m,): the bias is one more term of the sum.

    Implementations start the sum from the bias or add it last; a bound has to admit both, so
    `Bounded` evaluates the lecture's extended notation, w_0j = b_j with y_0 = 1.

    >>> affine(np.ones((1, 2)), np.eye(2), np.array([1.0, 2.0]))
    array([[2., 3.]])
    """
    if hasattr(y, "affine"):
        return y.affine(W, b)
    z = y @ W
    z += b if b.ndim == 1 else np.expand_dims(b, -2)  # its own fresh array
    return z


def absorb(a: Array, b: Array) -> Array:
    """a + b by this one addition: a is a float itself, so rounding moves a + b by |b| at most.

    >>> float(absorb(np.float32(300), np.float32(1e-6)))
    300.0
    """
    if hasattr(a, "absorb"):
        return a.absorb(b)
    return a + b


def accumulated(z: Array, c: Array, n: int) -> Array:
    """z + c, where c may be the first of the n + 1 terms that z is the sum of, or the last.

    >>> accumulated(np.ones(1), np.ones(1), 5)
    array([2.])
    """
    return z.accumulated(c, n) if hasattr(z, "accumulated") else z + c


def total(parts: Sequence[Array]) -> Array:
    """The sum of several arrays of one shape, added one by one, each partial sum stored."""
    if len(parts) == 1:
        return parts[0]
    bounded = next((part for part in parts if hasattr(part, "total")), None)
    return np.stack(parts).sum(axis=0) if bounded is None else bounded.total(parts)


def largest(a: Array, axis: int, empty: float = -math.inf) -> Array:
    """The largest element along an axis, which is kept; `empty` where the axis has no elements.

    >>> largest(np.zeros((0, 2)), 0).tolist(), largest(np.array([1.0, 3.0]), 0).tolist()
    ([[-inf, -inf]], [3.0])
    """
    if a.shape[axis]:
        return a.max(axis=axis, keepdims=True)
    shape = list(a.shape)
    shape[axis] = 1
    return like(np.full(shape, empty), a)


def log_add(a: Array, b: Array) -> Array:
    """log(e^a + e^b), by the method `logaddexp` of numbers with more digits.

    >>> float(log_add(np.zeros(1), np.zeros(1))[0]) == math.log(2)
    True
    """
    if a.dtype == object:
        return np.frompyfunc(lambda x, y: x.logaddexp(y), 2, 1)(a, b)
    return np.logaddexp(a, b)


def like(numbers: NDArray, a: Array) -> Array:
    """Exact numbers in the arithmetic of another array.

    >>> like(np.array([0.5]), np.ones(3, np.float32)).dtype
    dtype('float32')
    """
    if hasattr(a, "arithmetic"):
        return a.lift(numbers, a.arithmetic)
    return numbers + 0 * a.flat[0] if a.dtype == object else numbers.astype(a.dtype)


def moved(a: Array, move: Callable[..., Array], fill: float = 0.0) -> Array:
    """Apply ``move(array, fill)``, which only rearranges elements and puts `fill` in new places.

    >>> moved(np.array([1.0, 2.0]), lambda a, fill: np.pad(a, 1, constant_values=fill), -np.inf)
    array([-inf,   1.,   2., -inf])
    """
    return a.moved(move, fill) if hasattr(a, "moved") else move(a, fill)


def moved_back(dz: Array, back: Callable[[Array], Array]) -> Array:
    """Apply the adjoint of a movement: every element returns to its source, several are added up.

    >>> moved_back(np.array([[1.0, 2.0, 4.0]]), lambda a: scatter_add(a, (0, 2, 0), 3))
    array([[5., 0., 2.]])
    """
    return dz.moved_back(back) if hasattr(dz, "moved_back") else back(dz)


def scatter_add(values: NDArray, indices: Sequence[int], width: int) -> NDArray:
    """Sum the last axis to where it was taken from: out[..., l] = sum over {k: indices[k] = l}.

    It is the transpose of ``x[..., indices]``; values (..., len(indices)), result (..., width).

    >>> scatter_add(np.array([[1.0, 2.0, 4.0]]), (0, 2, 0), 3)
    array([[5., 0., 2.]])
    """
    out = np.zeros((*values.shape[:-1], width), dtype=values.dtype)
    at: Any = (..., list(indices))
    np.add.at(out, at, values)
    return out


def split(a: Array, sizes: Iterable[int], axis: int) -> list[Array]:
    """The parts of these sizes, which lie side by side along an axis.

    >>> [part.tolist() for part in split(np.arange(3), (2, 1), 0)]
    [[0, 1], [2]]
    """
    lead = (slice(None),) * (axis % a.ndim)
    return [a[(*lead, slice(lo, hi))] for lo, hi in pairwise(np.cumsum((0, *sizes)))]


def stored(a: Array, unit: float = 0.0, least: float = 0.0, largest: float = math.inf) -> Array:
    """The same numbers as the number format of a result keeps them: a cast.

    Parameters
    ----------
    unit, least, largest : of a format that is coarser than that of the arithmetic: the relative
        and the smallest absolute rounding of a number, and the largest number.

    >>> stored(np.array([0.1]))
    array([0.1])
    """
    return a.stored(unit, least, largest) if hasattr(a, "stored") else a


def unbroadcast(dz: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient to the shape that its operand had before broadcasting.

    >>> unbroadcast(np.ones((4, 2, 3)), (2, 1))
    array([[12.],
           [12.]])
    """
    if dz.shape == shape:
        return dz
    lead = dz.ndim - len(shape)
    axes = [i for i in range(dz.ndim) if i < lead or (shape[i - lead] == 1 and dz.shape[i] != 1)]
    return np.reshape(dz.sum(axis=tuple(axes)) if axes else dz, shape)


def vanishes(a: Array) -> NDArray:
    """Where a number is zero, or below the smallest normal one and may be lost as zero.

    >>> vanishes(np.array([1e-30, 1e-30], np.float32) ** np.array([1, 2], np.float32))
    array([False,  True])
    """
    if hasattr(a, "arithmetic"):
        return np.asarray(np.abs(a.value) < a.arithmetic.tiny)
    least = 0.0 if a.dtype == object else float(np.finfo(a.dtype).tiny)
    return np.asarray((abs(a) < least) | (a == 0), bool)


def usual(
    best: Array,
    forms: Mapping[str, Callable[[], Array]],
    rare: Mapping[str, Callable[[], Array]] | None = None,
) -> Array:
    """The value of `best`, which keeps its digits in every element.

    Parameters
    ----------
    best : the formula in its best form, right to a few roundings over the whole range.
    forms : by name, mathematically equal forms in common use, which lose digits somewhere (1 - y^2
        for the slope of tanh).  They are evaluated only where a result is not what the best form
        can return, to see whether one of them explains it; never on ordinary arrays.
    rare : the same for forms that no framework uses.  They are asked for only where the op's own
        inputs are known: end to end, their errors would hide faults in networks of many layers.
    """
    return best.among(forms, rare or {}) if hasattr(best, "among") else best


def covering(best: Array, forms: Mapping[str, Callable[[], Array]]) -> Array:
    """The value of `best`, with a bound that covers every form, by name, that is in common use."""
    return best.covering(forms) if hasattr(best, "covering") else best
