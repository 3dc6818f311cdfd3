"""The few array functions the formulas need and NumPy lacks.

Every formula in `core` is written once and evaluated in several arithmetics: plain arrays of any
float dtype, object arrays of high-precision numbers, and `Bounded` arrays.  Hence three rules:
nothing writes in place, nothing forces float64, and whatever NumPy cannot dispatch stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: A real array, in contrast to:
NDArray: TypeAlias = npt.NDArray[Any]

#: What a formula takes and returns: an ndarray of any float dtype, one of objects, or a `Bounded`.
Array: TypeAlias = Any

__all__ = ["Array", "NDArray", "absorb", "affine", "erf", "scatter_add", "total", "wider"]


def _erf_of(x: Any) -> Any:
    return x.erf() if hasattr(x, "erf") else math.erf(x)


#: A ufunc (so that `Bounded` can take part), with object output (so that `erf` restores the dtype).
erf_ufunc = np.frompyfunc(_erf_of, 1, 1)


def erf(x: Array) -> Array:
    """The error function 2/sqrt(pi) int_0^x exp(-t^2) dt, elementwise, accurate to float64.

    >>> erf(np.array([0.0, 0.5], dtype=np.float32))
    array([0.       , 0.5204999], dtype=float32)
    """
    y: Any = erf_ufunc(x)
    return y.astype(x.dtype) if isinstance(x, np.ndarray) else y


def affine(y: Array, W: Array, b: Array) -> Array:
    """y W + b, shapes (T, n) (n, m) (m,): the bias is one more term of the same sum.

    Implementations start the sum from the bias or add it last; a bound has to admit both, so
    `Bounded` evaluates the lecture's extended notation, w_0j = b_j with y_0 = 1.

    >>> affine(np.ones((1, 2)), np.eye(2), np.array([1.0, 2.0]))
    array([[2., 3.]])
    """
    if hasattr(y, "affine"):
        return y.affine(W, b)
    z = y @ W
    z += b  # its own fresh array
    return z


def absorb(a: Array, b: Array) -> Array:
    """a + b by this one addition: a is a float itself, so rounding moves a + b by |b| at most.

    >>> float(absorb(np.float32(300), np.float32(1e-6)))
    300.0
    """
    if hasattr(a, "absorb"):
        return a.absorb(b)
    return a + b


def total(parts: Sequence[Array]) -> Array:
    """The sum of several arrays of one shape, added one by one, each partial sum stored."""
    if len(parts) == 1:
        return parts[0]
    bounded = next((part for part in parts if hasattr(part, "total")), None)
    return np.stack(parts).sum(axis=0) if bounded is None else bounded.total(parts)


def scatter_add(values: Array, indices: tuple[int, ...], width: int) -> Array:
    """Sum columns back to where they were taken from: out[:, l] = sum over {k: indices[k] = l}.

    It is the transpose of ``x[:, indices]``; values (T, len(indices)), result (T, width).

    >>> scatter_add(np.array([[1.0, 2.0, 4.0]]), (0, 2, 0), 3)
    array([[5., 0., 2.]])
    """
    if hasattr(values, "scatter_add"):  # Bounded sums values and bounds alike
        return values.scatter_add(indices, width)
    columns = np.zeros((width, values.shape[0]), dtype=values.dtype)
    np.add.at(columns, list(indices), values.T)
    return columns.T


def wider(form: Array, other: Callable[[], Array]) -> Array:
    """The value of `form`, with a bound that also admits the mathematically equal `other`.

    Two correct implementations may round quite differently (1 - y against sigma(-z)); where neither
    written form is the less stable one everywhere, the formula gives both.  On ordinary arrays
    `other` is never evaluated.
    """
    if hasattr(form, "admit"):
        return form.admit(other())
    return form
