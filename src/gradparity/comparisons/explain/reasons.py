"""Why a quantity that was judged at its node is wrong, by the first explanation that fits."""

from __future__ import annotations

from ...core.arithmetic.arrays import Array
from ...core.network.case import Case
from ...core.network.nodes import Step
from ...core.network.trace import Trace
from ..measure.at_node import Reference
from .fits import fitted
from .hints import hint, where_it_is_wrong
from .mistakes import lost_uses, mistake

__all__ = ["reason_of"]


def reason_of(
    step: Step | None, e: Reference, case: Case, trace: Trace, bound: Array, *, fits: bool
) -> str:
    """Explain a wrong quantity in words, or return "" if nothing fits.

    Parameters
    ----------
    step : the node; None for the sum over the uses of a value.
    e : the quantity and its reference.
    case, trace : what was asked for, and what was computed.
    bound : of each element.
    fits : whether to fit the numbers of the op.
    """
    q, got, want = e.quantity, e.got, e.want.value
    if step is None:
        found = lost_uses(case, trace, q.name, got, bound) or hint(got, want, bound)
    else:
        found = hint(got, want, bound) if e.valid is None else ""
        found = found or mistake(case, trace, q, got, bound)
        if fits:
            found = found or fitted(step, q, case, trace, e)
    return found or ("" if e.valid else where_it_is_wrong(got, want, bound))
