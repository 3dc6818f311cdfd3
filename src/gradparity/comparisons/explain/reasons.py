"""Why a quantity that was judged at its node is wrong, by the first explanation that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.network.case import Case
from ...core.network.nodes import Step
from ...core.network.trace import Trace
from ..findings.finding import Finding, Verdict
from ..measure.at_node import Reference
from .fits import Fit, Known, as_rearranged, fitted, is_explained, reference_by
from .hints import hint, where_it_is_wrong
from .mistakes import lost_uses, mistake
from .samples import weights_at_node
from .terms import left_out

__all__ = ["as_consequence", "reason_in_float64", "reason_of"]


def reason_in_float64(reason: str, there: Finding | None) -> str:
    """The reason here, or that of the same quantity in float64, which tells functions apart.

    Parameters
    ----------
    reason : found in float32; "" if none.
    there : the finding in float64.
    """
    if there is None or there.verdict is not Verdict.MISMATCH or not there.note:
        return reason
    precise = there.note.startswith(("right ", "sample"))  # another function, or samples by number
    return f"in float64: {there.note}" if precise or not reason else reason


def reason_of(
    step: Step | None,
    e: Reference,
    case: Case,
    trace: Trace,
    bound: Array,
    *,
    fits: bool,
    known: Known,
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
    else:
        with np.errstate(all="ignore"):
            found = _at_node(step, e, case, trace, bound, fits, known)
    if found or e.valid:
        return found
    vague = "" if e.valid is not None else hint(got, want, bound)
    return vague or where_it_is_wrong(got, want, bound)


def _at_node(
    step: Step,
    e: Reference,
    case: Case,
    trace: Trace,
    bound: Array,
    fits: bool,
    known: Known,
) -> str:
    """As `reason_of`, at a node."""
    q = e.quantity
    same = known.get(step.name)
    if same is not None and is_explained(step, same.op, q, case, trace, e):
        return same.said
    found = _of(step, e, case, trace, bound, fits)
    if found and fits and same is None and not q.is_gradient:
        rearranged = as_rearranged(step, q, case, trace, e, found)
        if rearranged is not None:
            known[step.name] = rearranged
    if not found and fits:
        fit = fitted(step, q, case, trace, e, known.nodes)
        if fit is not None:
            found = fit.said
            if not q.is_gradient:
                known.setdefault(step.name, fit)
        elif same is not None and q.is_gradient:
            found = _of_that_function(step, same, e, case, trace)
        elif e.valid is None and not step.op.random and np.isfinite(e.got).all():
            found = left_out(known.nodes.at(step, case, trace), q, e)
    return found


def as_consequence(
    told: Finding,
    step: Step,
    e: Reference,
    case: Case,
    trace: Trace,
    known: Mapping[str, Fit],
    there: Finding | None,
) -> Finding:
    """The finding of a convention, which follows from a wrong value if it is of its function.

    The arguments are those of `reason_of`, and the finding in float64 if there is one.
    """
    same = known.get(step.name)
    if told.declared or not told.quantity.is_gradient:
        return told
    if same is not None and is_explained(step, same.op, told.quantity, case, trace, e):
        return replace(told, follows=same.quantity)
    alike = there is not None and there.convention == told.convention
    return replace(told, follows=there.follows) if there is not None and alike else told


def _of(step: Step, e: Reference, case: Case, trace: Trace, bound: Array, fits: bool) -> str:
    """A reason by the formulas of the node's op."""
    q, got = e.quantity, e.got
    found = hint(got, e.want.value, bound, vague=not fits) if e.valid is None else ""
    if not found and fits and q.is_gradient_by(step.parameters.values()):
        found = weights_at_node(step, q, case, trace, np.asarray(got), np.asarray(bound))
    return found or mistake(case, trace, q, got, bound)


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
    said = "it is not the gradient of the function that the value is of either"
    return f"{said}: {why}" if why else said
