"""Why a quantity may be wrong: what it is instead, said in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.arithmetic.arrays import Array

__all__ = ["hint"]


def hint(got: Array, want: Array, bound: Array) -> str:
    """Describe the wrong tensor by the right one, or return "".

    >>> hint(np.array([3.0, 6.0]), np.array([1.0, 2.0]), np.array([1e-9, 1e-9]))
    'every element is 3 times the formula'
    """
    got = np.asarray(got, dtype=np.float64)
    with np.errstate(all="ignore"):
        return next(_hints(got, want, np.broadcast_to(bound, want.shape)), "")


def _hints(got: Array, want: Array, bound: Array) -> Iterator[str]:
    telling = np.abs(want) > 4 * bound  # elsewhere a ratio says nothing
    if not np.isfinite(got).all():
        yield f"{int((~np.isfinite(got)).sum())} elements are not finite"
        return
    if not telling.any():
        return
    if not got.any():
        yield "every element is zero"
        return
    ratio = got[telling] / want[telling]
    factor = float(np.median(ratio))
    matters = bool((np.abs(factor - 1) * np.abs(want) > bound).any())
    alike = bool(np.all(np.abs(got - factor * want) <= 4 * np.abs(factor) * bound))
    if telling.sum() > 1 and alike and matters:
        yield f"every element is {_factor(factor)} times the formula"
    for what, other in _rearranged(want):
        if other.shape == got.shape and np.all(np.abs(got - other) <= 4 * bound.max()):
            yield f"it is the formula {what}"
    outside = ~(np.abs(got - want) <= bound)
    if outside.sum() == 1 < got.size:
        yield "all other elements are right"
    for axis, what in enumerate(("row", "column")[: got.ndim if got.ndim == 2 else 0]):
        (lines,) = np.nonzero(outside.any(axis=1 - axis))
        if len(lines) == 1 < got.shape[axis]:
            yield f"only in {what} {lines[0]}; every other {what} is right"


def _factor(factor: float) -> str:
    """Format a factor with six digits, or by its difference from one.

    >>> _factor(3.0), _factor(1 + 1e-10)
    ('3', '(1 + 1.0e-10)')
    """
    if f"{factor:.6g}" != "1":
        return f"{factor:.6g}"
    return f"(1 {'+' if factor > 1 else '-'} {abs(factor - 1):.1e})"


def _rearranged(want: Array) -> Iterator[tuple[str, Array]]:
    if want.ndim == 2:
        yield "transposed", want.T
        if want.shape[1] > 1:
            yield "with its columns reversed", want[:, ::-1]
    for axis, what in enumerate(("rows", "columns")[: want.ndim]):
        for shift in (1, -1) if want.shape[axis] > 1 else ():
            yield f"with its {what} shifted by one", np.roll(want, shift, axis)
