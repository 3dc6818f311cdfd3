"""Two results that are to be equal, up to what both may be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict, as_written
from ..measure.measured import Measured
from .setting import Setting, Z

__all__ = ["FEW", "compared", "first_of"]

#: Roundings of a result itself.
FEW = 4.0

#: (quantity, want, got, index of the first that is off) -> what is wrong, in words.
Why = Callable[[Quantity, NDArray, NDArray, tuple[int, ...]], str]


def compared(
    setting: Setting,
    name: Quantity,
    want: NDArray,
    got: NDArray,
    allowed: Array,
    why: Why,
    *,
    same_bits: bool = False,
    zero: bool = False,
) -> Finding:
    """Two results that are to be equal, up to what both may be off.

    `why` says in words what it means that they are not; `zero`: they are to be zero.  Unless they
    are to be the same bits, each may also be off by a few roundings of itself: where another
    function is meant, or another choice at a kink, the formulas' bounds are not about its numbers.
    NaN is the same as NaN: that a number is not finite, another check says.
    """
    a, b = np.asarray(want, np.float64), np.asarray(got, np.float64)
    with np.errstate(all="ignore"):
        if not same_bits:
            allowed = allowed + FEW * setting.case.precision.unit * (np.abs(a) + np.abs(b))
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        error = np.where(np.isnan(error), np.inf, error)
    m = Measured(b, a, error, np.asarray(allowed))
    verdict = Verdict.ROUNDING if error.any() else Verdict.EXACT
    found = m.finding(name, (Z, as_written(setting.op)), verdict, setting.case.precision.unit)
    if m.off:
        at = found.index or ()
        note = why(name, a, b, at)
        if np.isfinite(a[at]) and not np.isfinite(b[at]):
            note = f"it is {b[at]} at {list(at)}, which is not a number"
        note += f" ({found.outside} of {b.size} elements)" if b.size > 1 else ""
        return replace(found, verdict=Verdict.MISMATCH, outside=0, note=note)
    if m.largest == 0.0 and not zero:
        return replace(found, verdict=Verdict.VACUOUS, note="the signal is zero")
    return found


def first_of(mask: NDArray) -> tuple[int, ...]:
    """The index of the first element that is true."""
    return tuple(int(i) for i in np.argwhere(mask)[0])
