"""Faults of an array that `gradparity selftest` plants: a sign, a factor, an element, an axis.

One that cannot apply, such as transposing what is not square, gives None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...core import Case, Op
from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import rounded_to
from ...core.formulas.op import attributes

__all__ = ["ARRAY", "Place", "faulty", "nudged", "with_op"]


def faulty(op: Op, **methods: Callable[..., Any]) -> Op:
    """The op with some of its methods replaced; each is given the right method first.

    >>> from gradparity.core import Tanh
    >>> twice = faulty(Tanh(), vjp=lambda right, *args: tuple(2 * g for g in right(*args)))
    >>> twice.vjp(np.ones((1, 1)), (np.zeros((1, 1)),), np.zeros((1, 1)))
    (array([[2.]]),)
    """

    def wrong(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(type(op), name)
        return lambda self, *args: method(lambda *a: right(self, *a), *args)

    kind = type(op)
    body = {name: wrong(name, method) for name, method in methods.items()}
    twin: Op = object.__new__(type(f"Faulty{kind.__name__}", (kind,), body))
    for field, value in attributes(op).items():
        object.__setattr__(twin, field, value)
    return twin


def with_op(case: Case, name: str, op: Op) -> Case:
    """The case with another op at one node."""
    return dataclasses.replace(case, network=case.network.changed(ops={name: op}), x=case.inputs)


# Faults of an array -----------------------------------------------------------------------------


class Place(NamedTuple):
    """The place where the fault of an array is planted.

    `ops_inside` is that of the op whose result it is; 1 for a sum over uses.
    `smooth` marks the elements for which one value alone is right: neither at a kink nor drawn at
    random, so that another is surely wrong.
    """

    T: int
    smooth: NDArray
    ops_inside: int = 1


#: A single wrong element is off by this share of itself, or the nearest thing the dtype can tell;
#: in float32 times `Op.ops_inside`.
STEP = {"float64": 1e-11, "float32": 2e-5}


def nudged(g: NDArray, smooth: NDArray | None = None, ops_inside: int = 1) -> NDArray:
    """The largest element moved by 2e-5 times `ops_inside` (float32) or 1e-11 (float64) of itself.

    The largest, for an element born of cancellation may be wrong by more and still be right.

    >>> nudged(np.array([1.0, -3.0])) == np.array([1.0, -3.0])
    array([ True, False])
    """
    share = STEP[g.dtype.name] * (ops_inside if g.dtype == np.float32 else 1)
    return _at_largest(g, smooth, lambda x: x * x.dtype.type(1 + share))


def _at_largest(
    g: NDArray, smooth: NDArray | None, change: Callable[[NDArray], Any], every: bool = False
) -> NDArray:
    sizes = np.where(np.isfinite(g) & (True if smooth is None else smooth), np.abs(g), -1.0)
    one = np.arange(g.size).reshape(g.shape) == int(np.argmax(sizes))
    one = one & (sizes > 0 if not every else sizes >= 0)
    return np.where(one, change(g), g).astype(g.dtype)


def _smooth_only(change: Callable[[NDArray], Any]) -> ArrayFault:
    """A change of one element where one value alone is right."""
    return lambda g, at: _at_largest(g, at.smooth, change)


def _transposed(g: NDArray, at: Place) -> NDArray | None:
    return g.T if g.ndim == 2 and g.shape[0] == g.shape[1] > 1 else None


def _wrong_axis(g: NDArray, at: Place) -> NDArray | None:
    """The sum over the other axis, broadcast back to where it came from."""
    if g.ndim == 0 or g.shape[-1] < 2:
        return None
    return np.broadcast_to(g.sum(axis=-1, keepdims=True), g.shape)


def _swapped(g: NDArray, at: Place) -> NDArray | None:
    if g.ndim == 0:
        return None
    order = np.arange(len(g))
    order[:2] = order[:2][::-1]
    return g[order]


def _rolled(g: NDArray, at: Place) -> NDArray | None:
    return np.roll(g, 1, -1) if g.ndim and g.shape[-1] > 1 else None


def _through(digits: int) -> ArrayFault:
    """A round trip through float32 rounded to fewer digits."""
    return lambda g, at: rounded_to(g.astype(np.float32), digits) if digits < 24 else _float32(g)


def _float32(g: NDArray) -> NDArray:
    return g.astype(np.float32)


ArrayFault = Callable[[NDArray, Place], NDArray | None]

#: Faults of any result.
ARRAY: dict[str, ArrayFault] = {
    "0.1 % too large": lambda g, at: g * g.dtype.type(1.001),
    "doubled": lambda g, at: 2 * g,
    "wrong sign": lambda g, at: -g,
    "all zero": lambda g, at: np.zeros_like(g),
    "one element off": lambda g, at: nudged(g, at.smooth, at.ops_inside),
    "one element zero": _smooth_only(np.zeros_like),
    "one element NaN": lambda g, at: _at_largest(g, None, lambda x: x * np.nan, every=True),
    "transposed": _transposed,
    "1/T left out": lambda g, at: g * at.T,
    "summed over the wrong axis": _wrong_axis,
    "two rows swapped": _swapped,
    "off by one column": _rolled,
    "through bfloat16": _through(8),
    "through float16": lambda g, at: g.astype(np.float16),
    "through float32": _through(24),
}
