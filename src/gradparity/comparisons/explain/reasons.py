"""Why a quantity that was judged at its node is wrong, by the first explanation that fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.network.case import Case
from ...core.network.nodes import Step
from ...core.network.trace import Trace
from ..measure.at_node import Reference
from .fits import Fit, fitted, is_explained, reference_by
from .hints import hint, where_it_is_wrong
from .mistakes import lost_uses, mistake
from .samples import weights_at_node

__all__ = ["reason_of"]


def reason_of(
    step: Step | None,
    e: Reference,
    case: Case,
    trace: Trace,
    bound: Array,
    *,
    fits: bool,
    known: dict[str, Fit],
) -> str:
    """Explain a wrong quantity in words, or return "" if nothing fits.

    Parameters
    ----------
    step : the node; None for the sum over the uses of a value.
    e : the quantity and its reference.
    case, trace : what was asked for, and what was computed.
    bound : of each element.
    fits : whether to fit the numbers of the op.
    known : the function that each node computes instead, where its value was wrong; extended here.
    """
    q, got, want = e.quantity, e.got, e.want.value
    if step is None:
        found = lost_uses(case, trace, q.name, got, bound) or hint(got, want, bound)
        return found or ("" if e.valid else where_it_is_wrong(got, want, bound))
    same = known.get(step.name)
    if same is not None and is_explained(step, same.op, q, case, trace, e):
        return same.said
    found = _of(step, e, case, trace, bound, fits)
    if not found and fits:
        fit = fitted(step, q, case, trace, e)
        if fit is not None:
            found = fit.said
            if not q.is_gradient:
                known.setdefault(step.name, fit)
        elif same is not None and q.is_gradient:
            found = _of_that_function(step, same, e, case, trace)
    return found or ("" if e.valid else where_it_is_wrong(got, want, bound))


def _of(step: Step, e: Reference, case: Case, trace: Trace, bound: Array, fits: bool) -> str:
    """A reason by the formulas of the node's op."""
    q, got = e.quantity, e.got
    found = hint(got, e.want.value, bound) if e.valid is None else ""
    found = found or mistake(case, trace, q, got, bound)
    if not found and fits and q.is_gradient_by(step.parameters.values()):
        found = weights_at_node(step, q, case, trace, np.asarray(got), np.asarray(bound))
    return found


def _of_that_function(step: Step, same: Fit, e: Reference, case: Case, trace: Trace) -> str:
    """A second fault: the gradient is not that of the function which the value is of either."""
    there = reference_by(step, same.op, e.quantity, case, trace, e) if e.valid is None else None
    if there is None:
        return ""
    other = replace(step, op=same.op)
    why = hint(there.got, there.want.value, there.want.full_error())
    if not why and e.quantity.is_gradient_by(step.parameters.values()):
        got, bound = np.asarray(there.got), np.asarray(there.want.full_error())
        why = weights_at_node(other, e.quantity, case, trace, got, bound)
    said = "nor is it the gradient of the function that the value is of"
    return f"{said}: {why}" if why else said
