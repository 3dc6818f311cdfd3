"""The judge: from what an implementation computed (a trace) to a verdict on every quantity.

Read from the top: `judge` walks the network; at every place the formula says what a correct
implementation may have there (`gradparity.comparisons.measure.at_node`), under arithmetics from the
sharpest to the widest (`levels`).  `_finding` decides one quantity: inside a bound it is parity;
beyond, `_suspicion` says whether it is a fault at all; and a fault is a named convention, a lack of
precision, or a mismatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.rounding import Rounding
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..explain.at_node import Convention, conventions, declared, distinct, parse_allowed
from ..explain.hints import hint
from ..explain.mistakes import mistake
from ..findings.elements import furthest, in_units
from ..findings.finding import SUM, Evidence, Finding, Verdict, as_written
from ..measure.at_node import Reference, reference_at_node, reference_of_sum
from ..measure.kinks import census
from ..measure.levels import COMPANY, Levels, Measured, no_bound, stands_out
from ..measure.power import power
from .traces import check_trace

__all__ = ["judge", "judge_what_is_there", "meant_alike", "meant_once"]

#: In units of 10 sigma: twice the worst that was measured (7.4), for tensors without company.
ALONE = 1.5


def judge(
    case: Case, trace: Trace, float64: Evidence | None = None, allow: Sequence[str] = ()
) -> list[Finding]:
    """Verdicts on everything in a trace, node by node, each on the implementation's own inputs.

    Parameters
    ----------
    case : the case, in the trace's precision.
    trace : what the implementation computed.
    float64 : gives the findings of the same implementation in float64, by quantity; asked only when
        an error is beyond what is usual at this precision.
    allow : conventions that pass, such as "sum" or "weight-decay=0.001".

    Raises
    ------
    ValueError, TypeError : the trace lacks a quantity, or has one of another shape or dtype; an
        unknown convention.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4)
    >>> {str(finding.verdict) for finding in judge(case, backprop(case))} <= {"exact", "rounding"}
    True
    """
    check_trace(case, trace)
    return judge_what_is_there(case, trace, float64, allow)


def judge_what_is_there(
    case: Case, trace: Trace, float64: Evidence | None = None, allow: Sequence[str] = ()
) -> list[Finding]:
    """As `judge`, for a trace that may lack anything: what rests on it is left out."""
    parse_allowed(allow)
    if case.precision.name == "float64":
        float64 = None  # it settles itself
    findings = []
    for place in _places(case, trace):
        levels = Levels(place.expected, case.precision)
        for quantity in levels.quantities():
            found = _finding(place, quantity, levels, float64, allow)
            findings.append(replace(found, final=quantity.is_gradient_by(case.finals)))
    return meant_once(case, findings)


#: The nodes that the loss is made of.
LOSS = (DIV, ERR)
#: Conventions that multiply everything upstream of where they are.
REDUCTIONS = frozenset({"sum", "mean", "mean-elements"})


def meant_once(
    case: Case, findings: list[Finding], arrived: Iterable[Finding] = ()
) -> list[Finding]:
    """Accept an allowed sum for the mean at the loss or in parameters; at both it would be T^2.

    Unless the one undoes the other: sums on the way, and the mean taken in the parameters.

    Parameters
    ----------
    case, findings : judged at their nodes.
    arrived : of gradients that were judged from end to end, and bring what the risk had.
    """
    reduced = [f for f in findings if f.declared and f.convention in REDUCTIONS]
    risk = [f for f in findings if f.node in LOSS and f.quantity.is_gradient]
    names = (f.convention.split("+") for f in (*risk, *arrived) if f.declared)
    at_risk = REDUCTIONS & {name for both in names for name in both}

    def excused(f: Finding) -> bool:
        undone = {f.convention, *at_risk} == {"sum", "mean"}
        return f.node in LOSS or (f.final and (undone or not at_risk))

    found = [replace(f, declared=False) if f in reduced and not excused(f) else f for f in findings]
    return meant_alike(case, found)


def meant_alike(case: Case, findings: list[Finding]) -> list[Finding]:
    """Accept an allowed reduction only if every parameter gradient has it."""

    def reduction(f: Finding) -> frozenset[str]:
        return REDUCTIONS & set(f.convention.split("+")) if f.declared else frozenset()

    parameters = {*map(Quantity.grad, case.network.trained)}
    told = [f for f in findings if f.quantity in parameters]
    told = [f for f in told if f.verdict.parity or f.convention]
    if len({reduction(f) for f in told}) < 2:
        return findings
    mixed = "; the gradients of other parameters are reduced otherwise"
    return [
        replace(f, declared=False, note=f.note + mixed) if f in told and reduction(f) else f
        for f in findings
    ]


class _Place(NamedTuple):
    """Where a formula is tested, and what is expected there under a rounding."""

    node: str
    op: str
    expected: Callable[[Rounding], list[Reference]]
    conventions: Callable[[Quantity, Reference], Iterable[Convention]] = lambda quantity, e: ()
    mistake: Callable[[Quantity, Reference, Measured], str] = lambda quantity, e, measured: ""


def _places(case: Case, trace: Trace) -> Iterator[_Place]:
    network = case.network

    def named(step: Step) -> Callable[[Quantity, Reference], Iterable[Convention]]:
        return lambda quantity, e: conventions(step, quantity, case, trace, e)

    def mistaken(quantity: Quantity, e: Reference, measured: Measured) -> str:
        return mistake(case, trace, quantity, e.got, measured.bound)

    for step in network.steps:
        here = partial(reference_at_node, step, case, trace)
        yield _Place(step.name, as_written(step.op), here, named(step), mistaken)
        for name in step.outputs:
            yield _Place(step.name, SUM, partial(reference_of_sum, name, case, trace))
    for name in (*case.differentiated, *network.trained):
        yield _Place(name, SUM, partial(reference_of_sum, name, case, trace))


def _finding(
    place: _Place,
    quantity: Quantity,
    levels: Levels,
    float64: Evidence | None,
    allow: Sequence[str],
) -> Finding:
    """The verdict on one quantity, and why."""
    e, measured = levels.sharpest(quantity)
    note = ""
    if measured.outside.any():
        measured, note = _suspicion(quantity, levels, measured, float64)
    with np.errstate(all="ignore"):  # infinite gradients are compared too
        kinks = census(e, levels.roundings[0]) if e.valid is not None else None
    found = Finding(
        quantity=quantity,
        node=place.node,
        op=place.op,
        verdict=_verdict(e, measured, kinks is not None and kinks.other, levels),
        elements=int(e.got.size),
        kinks=kinks.census if kinks else None,
        note=note,
    )
    found = _located(found, e, measured, levels.precision.unit)
    if note == ASK:
        return replace(found, verdict=Verdict.INCONCLUSIVE)
    if found.verdict is Verdict.MISMATCH:
        return _explained(found, place, e, measured, levels, float64, allow)
    if found.verdict is Verdict.VACUOUS:
        return replace(found, note=note or "the signal is zero, or below its own bound")
    if found.verdict is Verdict.INCONCLUSIVE:
        return replace(found, note=note or _unknown(e))
    return replace(found, power=power(e, measured))


def _verdict(e: Reference, m: Measured, other_subgradient: bool, levels: Levels) -> Verdict:
    if m.outside.any():
        return Verdict.MISMATCH
    if np.any(m.undecidable):
        return Verdict.INCONCLUSIVE
    if other_subgradient:
        return Verdict.SUBGRADIENT
    if not (np.abs(e.want.value) > m.bound).any():
        return Verdict.VACUOUS
    with np.errstate(all="ignore"):
        exact = (levels.precision.round(e.want.value) == e.got).all()
    return Verdict.EXACT if exact else Verdict.ROUNDING


def _unknown(e: Reference) -> str:
    """Why nothing can be decided."""
    if np.any(np.isnan(e.want.value) & np.isfinite(e.want.full_error())):
        return "the formula is 0/0 or inf - inf here"
    if np.all(np.isfinite(e.want.value)) and np.all(np.isfinite(e.want.full_error())):
        return "more ties are connected here than can be decided"
    return no_bound(np.asarray(e.want.value), e.want.rounding.largest)


ASK = "beyond 10 sigma, inside the worst case: check in float64 too"


def _suspicion(
    quantity: Quantity, levels: Levels, sharp: Measured, float64: Evidence | None
) -> tuple[Measured, str]:
    """Settle what lies beyond the sharp bound: a fault, or an order of summation no model foresaw?

    Outside the worst case it is a fault.  Inside it, an unusual order would show in the whole
    tensor, so an element that stands out from the others is a fault as well.  What is left is a
    fault exactly if the same quantity is wrong in float64, where the worst case is sharp enough.
    """
    worst = levels.worst_case(quantity)
    if worst.outside.any() or len(levels.roundings) == 1:
        return worst, ""
    furthest = float(sharp.ratio.max())
    if stands_out(sharp):
        return sharp, "stands out of its tensor by far more than rounding scatters"
    if sharp.ratio.size < COMPANY and furthest > ALONE:
        return sharp, "further off than any usual order of summation"
    right = None if float64 is None else _right(quantity, float64)
    if right is None:
        return sharp, ASK
    if not right:
        return sharp, "wrong in float64 too"
    return worst, f"{10 * furthest:.0f} sigma for a usual order of summation; right in float64"


def _right(quantity: Quantity, float64: Evidence) -> bool | None:
    """Whether there is parity in float64; what is zero there is not wrong.  None if unknown."""
    found = float64().get(quantity)
    return None if found is None else found.verdict.parity is not False


def _explained(
    found: Finding,
    place: _Place,
    e: Reference,
    measured: Measured,
    levels: Levels,
    float64: Evidence | None,
    allow: Sequence[str],
) -> Finding:
    """A fault by its name: a lack of precision, a convention, or else a mismatch.

    What is right in float64 is no convention, for that would persist there; and what has no name
    there has none here, where bounds are wider.
    """
    explanation = next(levels.explanations(found.quantity), "")
    if float64 is not None and _right(found.quantity, float64):
        times = float(measured.ratio.max())
        beyond = f"{times:.3g} times what {_entitled(levels)} can be off"
        said = f"right in float64; {beyond if np.isfinite(times) else 'not finite here'}"
        if explanation:
            said += f", as far as {explanation}"
            return replace(found, verdict=Verdict.IMPRECISE, note=said)
        return replace(found, note=_joined(said, found.note))
    named = []
    if distinct(levels.precision, found.quantity, float64):
        named = list(place.conventions(found.quantity, e))
    if named:  # several names may say the same: eps = 0.01 is a = 0.1 of another form
        return replace(
            found,
            verdict=Verdict.CONVENTION,
            convention=named[0].name,
            declared=any(declared(convention, allow) for convention in named),
            note=named[0].said,
        )
    reason = hint(e.got, e.want.value, measured.bound) if e.valid is None else ""
    reason = reason or place.mistake(found.quantity, e, measured)
    as_far = f"as far off as {explanation} is" if explanation else ""
    return replace(found, note=_joined(reason, found.note, as_far))


def _entitled(levels: Levels) -> str:
    """The arithmetic that a correct implementation has at this precision."""
    p = levels.precision
    return f"{p.name} with sums in float32" if p.sums > p.digits else p.name


def _joined(*said: str) -> str:
    return "; ".join(filter(None, said))


def _located(found: Finding, e: Reference, measured: Measured, unit: float) -> Finding:
    """Where it is nearest to (or furthest beyond) its bound, in u of the tensor's largest."""
    where = tuple(map(int, np.unravel_index(int(np.argmax(measured.ratio)), e.got.shape)))
    magnitude = np.abs(e.want.value)
    u = unit * float(magnitude[np.isfinite(magnitude)].max(initial=0.0))
    return replace(
        found,
        outside=int(measured.outside.sum()),
        index=where,
        got=float(e.got[where]),
        expected=float(e.want.value[where]),
        error=in_units(measured.error[where], u),
        bound=in_units(measured.bound[where], u),
        worst=furthest(e.got, e.want.value, measured.error, measured.bound, measured.outside, u),
    )
