"""Compare two results that must be equal, up to the bounds of both."""

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

#: Roundings that a result itself may be off by.
FEW = 4.0


def compared(
    setting: Setting,
    name: Quantity,
    want: NDArray,
    got: NDArray,
    allowed: Array | None,
    note: str,
    *,
    hint: Callable[[NDArray, NDArray], str] | None = None,
    zero: bool = False,
) -> Finding:
    """Compare two results that must be equal.

    An element without a finite bound is not tested.  Where another function or another choice at a
    kink is used, the formulas' bounds do not describe these numbers, so each result may also be off
    by `FEW` roundings of itself.  NaN equals NaN: the check `finite` reports it.

    Parameters
    ----------
    allowed : the largest absolute difference; None if the results must be identical bits.
    note : the finding's note where they differ, with the fields {want}, {got} and {at}.
    hint : (want, got) -> text to add to the note.
    zero : whether zeros are expected; otherwise results that are all zero are vacuous.
    """
    a, b = np.asarray(want, np.float64), np.asarray(got, np.float64)
    with np.errstate(all="ignore"):
        if allowed is None:
            allowed = np.zeros(a.shape)
        else:
            allowed = allowed + FEW * setting.case.precision.unit * (np.abs(a) + np.abs(b))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b))
        error = np.where(np.isnan(error), np.inf, error)
        allowed = np.where(same & np.isnan(allowed), 0.0, allowed)  # the bound of NaN is NaN
        unknown = ~np.isfinite(allowed) & np.isfinite(a) & np.isfinite(b)
    m = Measured(b, a, error, np.asarray(allowed), np.broadcast_to(unknown, a.shape))
    verdict = Verdict.ROUNDING if error.any() else Verdict.EXACT
    found = m.finding(name, (Z, as_written(setting.op)), verdict, setting.case.precision.unit)
    if m.off:
        at = found.index or ()
        if np.isfinite(a[at]) and not np.isfinite(b[at]):
            note = f"it is {b[at]} at {list(at)}, which is not a number"
        else:
            note = note.format(want=f"{a[at]:.6g}", got=f"{b[at]:.6g}", at=list(at))
            note += hint(a, b) if hint is not None else ""
        note += f" ({found.outside} of {b.size} elements)" if b.size > 1 else ""
        return replace(found, verdict=Verdict.MISMATCH, outside=0, note=note)
    if m.largest == 0.0 and not zero:
        return replace(found, verdict=Verdict.VACUOUS, note="the signal is zero")
    if np.all(unknown):
        note = "rounding alone decides it at this dtype, so this law was not tested"
        return replace(found, verdict=Verdict.VACUOUS, note=note)
    return found


def first_of(mask: NDArray) -> tuple[int, ...]:
    """The index of the first element that is true."""
    return tuple(int(i) for i in np.argwhere(mask)[0])
