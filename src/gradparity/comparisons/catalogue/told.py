"""Finds whose truth was derived by hand, and calls that do not return."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...adapters.finds import NO_ANSWER, Told
from ...core.arithmetic.precision import Precision
from ..atlas.smooth.errors import digits_of, threshold
from .confirmed import Printed, run, told_apart

__all__ = ["of_told"]


def of_told(told: Told) -> dict[str, Any] | None:
    """The fields of a find; None where its line shows nothing wrong."""
    out = run(told.code)
    precision = Precision.of(told.dtype)
    lost = 0.0 if out is None else math.inf if out.got == NO_ANSWER else _lost(out, precision)
    if out is None or lost < threshold(precision):
        return None
    got, true = told_apart(*out)
    return {
        "found": "no answer" if got == NO_ANSWER else "told", "quantities": (told.quantity,),
        "quantity": told.quantity, "dtypes": (told.dtype,), "dtype": told.dtype, "at": told.at,
        "got": got, "true": true, "lost": lost, "digits": digits_of(precision),
        "users": told.users, "code": told.code,
    }  # fmt: skip


def _lost(out: Printed, precision: Precision) -> float:
    got, true = (np.atleast_1d(np.asarray(each, np.float64)) for each in out)
    with np.errstate(all="ignore"):
        off = np.max(np.abs(got - true) / np.abs(np.where(true == 0, 1, true)))
        digits = float(np.log10(off / precision.unit))
    return math.inf if np.isnan(off) else float(np.clip(digits, 0, digits_of(precision)))
