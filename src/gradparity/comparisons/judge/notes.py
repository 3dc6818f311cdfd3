"""Notes of findings, and reasons why nothing could be decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.arithmetic.precision import Precision
from ..findings.finding import Finding, Verdict
from ..measure.at_node import Reference
from ..measure.levels import (
    SharedBias,
    no_bound,
)
from ..measure.measured import Measured
from .hidden_rows import LOST

__all__ = [
    "ASK",
    "HALF",
    "ON_THE_WAY",
    "OVERFLOW",
    "STORED",
    "beyond_usual",
    "entitled",
    "joined",
    "lost_range",
    "why_unknown",
    "with_bias",
]


#: The note of a quantity that float64 has to decide.
ASK = "beyond 10 sigma, inside the worst case: check in float64 too"
#: What is said of a result that is infinite or NaN where the formula is finite in this dtype.
OVERFLOW = "not finite where the function is"
#: The names of coarser formats begin with this; a result that is off by half has no digit of one.
STORED, HALF = "a result stored in", 0.5
#: What is added where that is a lack of range.
ON_THE_WAY = ": a number on the way to it overflows or underflows"


def lost_range(m: Measured, coarse: str) -> bool:
    """Whether most wrong elements are not finite, or lack the digits that a coarser format has."""
    with np.errstate(all="ignore"):
        gone = m.outside & (m.error >= HALF * np.abs(m.want))
    most = 2 * np.count_nonzero(gone) >= np.count_nonzero(m.outside)
    return not np.isfinite(m.furthest) or (coarse.startswith(STORED) and bool(most))


def beyond_usual(sharp: Measured) -> str:
    """The error of a result that an unforeseen order of summation explains."""
    return f"{10 * sharp.furthest:.0f} sigma for a usual order of summation; right in float64"


def with_bias(found: Finding, m: Measured, bias: SharedBias, right: bool) -> Finding:
    """The finding of a tensor whose elements are inside their bounds, but share a bias.

    One that is `right` in float64 is a lack of precision here.
    """
    factor = float(np.sum(m.got / m.largest * m.want) / np.sum(m.want / m.largest * m.want))
    said = (
        f"each element is inside its bound, but on average they are (1 {factor - 1:+.1e}) "
        f"times the formula, {bias.ratio:.2g} times what independent roundings give; "
        f"{'right' if right else 'wrong'} in float64{'' if right else ' too'}"
    )
    return replace(found, verdict=Verdict.IMPRECISE if right else Verdict.MISMATCH, note=said)


def why_unknown(e: Reference) -> str:
    """Why nothing can be decided."""
    if np.any(e.lost):
        return LOST
    if np.size(e.want.value) == 0:
        return "it has no elements"
    if np.all(np.isfinite(e.want.value)) and np.all(np.isfinite(e.want.full_error())):
        return "more ties are connected here than can be decided"
    return no_bound(np.asarray(e.want.value), e.want.rounding.largest)


def entitled(p: Precision) -> str:
    """The arithmetic that a correct implementation has at this precision."""
    return f"{p.name} with sums in float32" if p.sums > p.digits else p.name


def joined(*said: str) -> str:
    """One note of several, without the empty ones."""
    return "; ".join(filter(None, said))
