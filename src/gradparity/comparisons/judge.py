"""The judge: from what an implementation computed (a trace) to a verdict on every quantity.

Read from the top: `judge` walks the network, `_verdict` decides one quantity, `_measure` says how
far each element is from what is valid there, and `_second_opinion` settles what float32 alone
cannot: an error beyond 10 sigma yet inside the worst case of some order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ..core.arrays import Array
from ..core.bounded import Rounding
from ..core.case import Case
from ..core.network import INPUT
from ..core.trace import Trace
from .expected import Expected, expected_at_divergence, expected_at_node, expected_sum
from .finding import SUM, Finding, Verdict
from .kinks import census, distance_from_valid
from .traces import check_trace

__all__ = ["judge"]

#: A second opinion on one tensor needs company: fewer elements say nothing about each other.
COMPANY = 8
#: The median of |N(0, 1)|: what turns a median error into a standard deviation.
MEDIAN = 0.6745

Evidence = Callable[[], Mapping[str, Finding]]


def judge(case: Case, trace: Trace, float64: Evidence | None = None) -> list[Finding]:
    """Verdicts on everything in a trace, node by node, each on the implementation's own inputs.

    Parameters
    ----------
    case : the case, in the trace's dtype.
    trace : what the implementation computed.
    float64 : gives the findings of the same implementation in float64, by quantity; asked only when
        a float32 error is beyond 10 sigma but inside the worst case.

    Raises
    ------
    ValueError, TypeError : the trace lacks a quantity, or has one of another shape or dtype.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4)
    >>> {str(finding.verdict) for finding in judge(case, backprop(case))} <= {"exact", "rounding"}
    True
    """
    check_trace(case, trace)
    statistical = case.dtype == np.float32
    sharp = Rounding.of(case.dtype, statistical=statistical)
    worst = Rounding.of(case.dtype)
    findings = []
    for node, op, expected in _places(case, trace):
        worst_case = cache(lambda expected=expected: {e.quantity: e for e in expected(worst)})
        for quantity in expected(sharp):
            slack = (lambda q=quantity, w=worst_case: w()[q.quantity]) if statistical else None
            findings.append(_verdict(node, op, quantity, sharp, slack, float64))
    return findings


def _places(
    case: Case, trace: Trace
) -> Iterator[tuple[str, str, Callable[[Rounding], list[Expected]]]]:
    """Every place where a formula is tested: (node, op, what is expected there)."""
    network = case.network
    for step in network.steps:
        yield step.name, repr(step.op), partial(expected_at_node, step, case, trace)
        yield step.name, SUM, partial(expected_sum, step.name, case, trace)
    yield "Div", repr(network.divergence), partial(expected_at_divergence, case, trace)
    yield INPUT, SUM, partial(expected_sum, INPUT, case, trace)


@dataclass(frozen=True)
class Measured:
    """Elementwise, in float64: how far from what is valid, and how far one may be."""

    error: Array
    bound: Array
    undecidable: Array  # nothing finite can be expected of this dtype here

    @property
    def outside(self) -> Array:
        return ~(self.error <= self.bound) & ~self.undecidable

    @property
    def ratio(self) -> Array:
        """error / bound, infinite for a NaN; 0 where nothing can be decided."""
        with np.errstate(all="ignore"):
            ratio = np.where(self.error == 0, 0.0, self.error / self.bound)
        return np.where(self.undecidable, 0.0, np.where(np.isnan(ratio), np.inf, ratio))


def _measure(e: Expected, rounding: Rounding) -> Measured:
    got = np.asarray(e.got, dtype=np.float64)
    bound = np.array(e.want.full_error())
    with np.errstate(all="ignore"):
        error = np.abs(got - e.want.value)
        error = np.where(got == e.want.value, 0.0, error)  # equal infinities
        undecidable = ~(np.abs(e.want.value) + bound < rounding.largest)
        if e.valid is not None and e.upstream is not None:
            error, bound = distance_from_valid(e, error, bound, rounding)
    return Measured(error, bound, undecidable)


def _verdict(
    node: str,
    op: str,
    e: Expected,
    rounding: Rounding,
    slack: Callable[[], Expected] | None,
    float64: Evidence | None,
) -> Finding:
    measured = _measure(e, rounding)
    note = ""
    if slack is not None and measured.outside.any():
        measured, note = _second_opinion(e, measured, slack(), rounding, float64)
    kinks = census(e, rounding) if e.valid is not None else None
    verdict = _named(e, measured, kinks is not None and bool(kinks.other), note)
    if verdict is Verdict.VACUOUS:
        note = note or "the signal is zero, or below its own bound"
    if verdict is Verdict.INCONCLUSIVE:
        note = note or "any implementation at this dtype overflows here"
    where = _worst(measured)
    unit = _unit(e, rounding)
    return Finding(
        quantity=e.quantity,
        node=node,
        op=op,
        verdict=verdict,
        elements=int(measured.error.size),
        outside=int(measured.outside.sum()),
        index=where,
        got=float(e.got[where]),
        expected=float(e.want.value[where]),
        error=_in_units(measured.error[where], unit),
        bound=_in_units(measured.bound[where], unit),
        kinks=kinks.census if kinks else None,
        note=note,
    )


def _named(e: Expected, m: Measured, other_subgradient: bool, note: str) -> Verdict:
    if note.startswith(ASK):
        return Verdict.INCONCLUSIVE
    if m.outside.any():
        return Verdict.MISMATCH
    if m.undecidable.any():
        return Verdict.INCONCLUSIVE
    if other_subgradient:
        return Verdict.SUBGRADIENT
    if not (np.abs(e.want.value) > m.bound).any():
        return Verdict.VACUOUS
    with np.errstate(all="ignore"):
        exact = e.want.value.astype(e.got.dtype) == e.got
    return Verdict.EXACT if exact.all() else Verdict.ROUNDING


ASK = "beyond 10 sigma, inside the worst case: check in float64 too"


def _second_opinion(
    e: Expected,
    sharp: Measured,
    slack: Expected,
    rounding: Rounding,
    float64: Evidence | None,
) -> tuple[Measured, str]:
    """Settle what lies beyond 10 sigma: a fault, or an order of summation no model foresaw?

    Outside the worst case it is a fault.  Inside it, an unusual order would show in the whole
    tensor, so an element that stands out from the others is a fault as well.  What is left is a
    fault exactly if the same quantity is wrong in float64, where the worst case is sharp enough.
    """
    worst = _measure(slack, rounding)
    if worst.outside.any():
        return Measured(sharp.error, worst.bound, sharp.undecidable), ""
    if sharp.ratio.size >= COMPANY:
        # In units of its own model the rest of the tensor scatters by `scale` (1 if it is right).
        scale = (
            max(1.0, float(np.median(sharp.ratio[~sharp.outside])) * 10 / MEDIAN)
            if (~sharp.outside).sum() * 2 > sharp.ratio.size
            else np.inf
        )
        if float(sharp.ratio.max()) > scale:
            return sharp, "stands out of its tensor by far more than rounding scatters"
    if float64 is None:
        return sharp, ASK
    other = float64().get(e.quantity)
    if other is None or other.verdict is Verdict.MISMATCH:
        return sharp, "wrong in float64 too"
    sigmas = 10 * float(sharp.ratio.max())
    return worst, f"{sigmas:.0f} sigma for a usual order of summation; right in float64"


def _worst(m: Measured) -> tuple[int, ...]:
    """Index of the element nearest to its bound, or furthest beyond it."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(m.ratio)), m.error.shape))


def _unit(e: Expected, rounding: Rounding) -> float:
    finite = np.abs(e.want.value[np.isfinite(e.want.value)])
    return rounding.unit * float(finite.max(initial=0.0))


def _in_units(x: float, unit: float) -> float:
    if x == 0.0:
        return 0.0
    return float(x / unit) if unit > 0.0 else float("inf")
