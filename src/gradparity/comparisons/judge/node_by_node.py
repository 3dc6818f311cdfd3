"""The judge: from what an implementation computed (a trace) to a verdict on every quantity.

Read from the top: `judge` walks the network; at every place the formula says what a correct
implementation may have there (`gradparity.comparisons.measure.at_node`), under arithmetics from the
sharpest to the widest (`levels`).  `_Judge.finding` decides one quantity: inside a bound it is
parity; beyond, `_suspicion` says whether it is a fault at all; and a fault is a named convention, a
lack of precision, or a mismatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Activation
from ...core.network.case import Case, check_case
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..explain.allowed import (
    REDUCTIONS,
    VALUES,
    as_convention,
    is_allowed,
    is_distinct,
    parse_allowed,
    undetermined,
)
from ..explain.at_node import conventions, is_of_that_function
from ..explain.fits import Known
from ..explain.forms import UsualForm, usual_form
from ..explain.hints import hint
from ..explain.products import fast_product
from ..explain.reasons import as_consequence, reason_in_float64, reason_of
from ..explain.whole_mistakes import exchanged
from ..findings.finding import FOLLOWS, SILENT, SUM, Evidence, Finding, Verdict, as_written
from ..measure.at_node import Reference, reference_at_node, reference_of_sum
from ..measure.kept import KeptReferences
from ..measure.kinks import at_kink, summary_of_kinks
from ..measure.levels import (
    MINIMUM_SAMPLE,
    NAN,
    Levels,
    SharedBias,
    has_outlier,
    shared_bias,
)
from ..measure.measured import Measured
from ..measure.scatter import MINIMUM as MINIMUM_SCATTER
from ..measure.scatter import is_scattered
from .hidden_rows import LOST, with_hidden_rows
from .notes import (
    ASK,
    ON_THE_WAY,
    OVERFLOW,
    beyond_usual,
    entitled,
    joined,
    lost_range,
    why_unknown,
    with_bias,
)
from .reductions import meant_once
from .traces import check_trace

__all__ = [
    "judge",
    "judge_node",
    "judge_what_is_there",
]

#: In units of 10 sigma: twice the worst that was measured (7.4), for tensors of few elements.
FEW_ELEMENTS = 1.5


def judge(
    case: Case,
    trace: Trace,
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
    *,
    explain: bool = True,
    kept: KeptReferences | None = None,
) -> list[Finding]:
    """Verdicts on everything in a trace, node by node, each on the implementation's own inputs.

    Parameters
    ----------
    case : the case, in the trace's precision.
    trace : what the implementation computed.
    float64 : gives the findings of the same implementation in float64, by quantity; asked only when
        an error is beyond what is usual at this precision.
    allow : conventions that pass, such as "sum" or "weight-decay=0.001".
    explain : whether to find out why a quantity is wrong; otherwise it is a mismatch.
    kept : the references of other traces of this case, which saves time.

    Raises
    ------
    ValueError, TypeError : the trace lacks a quantity, or has one of another shape or dtype; an
        unknown convention.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4)
    >>> {str(finding.verdict) for finding in judge(case, backprop(case))} <= {"exact", "rounding"}
    True
    """
    check_case("judge", case)
    check_trace(case, trace)
    found = judge_what_is_there(case, trace, float64, allow, explain=explain, kept=kept)
    return with_hidden_rows(case, found) if explain else found


def judge_node(
    case: Case, trace: Trace, node: str, float64: Evidence | None = None, allow: Sequence[str] = ()
) -> list[Finding]:
    """As `judge`, with the formulas of one node alone.

    The loss is taken to be right, and the node's parameters are used nowhere else.
    """
    check_trace(case, trace)
    parse_allowed(allow)
    return meant_once(case, _Judge(case, trace, float64, allow, True).findings(node))


def judge_what_is_there(
    case: Case,
    trace: Trace,
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
    *,
    explain: bool = True,
    node: str = "",
    kept: KeptReferences | None = None,
) -> list[Finding]:
    """As `judge`, for a trace that may lack anything: what rests on it is left out.

    With `node`, only what the formulas of this node say, without sums.
    """
    parse_allowed(allow)
    return meant_once(case, _Judge(case, trace, float64, allow, explain, kept).findings(node))


class _Place(NamedTuple):
    """A place where a formula is tested, with its references under a rounding.

    `step` is the node; None for the sum over the uses of a value.
    """

    node: str
    op: str
    references: Callable[[Rounding], list[Reference]]
    step: Step | None = None


def _places(case: Case, trace: Trace, kept: KeptReferences | None) -> Iterator[_Place]:
    at_node = reference_at_node if kept is None else kept.at_node
    for step in case.network.steps:
        here = partial(at_node, step, case, trace)
        yield _Place(step.name, as_written(step.op), here, step)
        for name in step.outputs:
            yield _Place(step.name, SUM, partial(reference_of_sum, name, case, trace))
    for name in (*case.differentiated, *case.network.trained):
        yield _Place(name, SUM, partial(reference_of_sum, name, case, trace))


class _Judge:
    """The verdicts on one trace; the arguments are those of `judge`."""

    def __init__(
        self,
        case: Case,
        trace: Trace,
        float64: Evidence | None,
        allow: Sequence[str],
        explain: bool,
        kept: KeptReferences | None = None,
    ) -> None:
        self.case, self.trace, self.precision = case, trace, case.precision
        self.float64 = None if self.precision.name == "float64" else float64  # it settles itself
        self.allow, self.explain, self.kept = allow, explain, kept
        #: Gradients of parameters that are wrong, and nothing says why.
        self.unexplained: dict[Quantity, Measured] = {}
        #: The function that a node computes in place of its own, by the name of the node.
        self.instead = Known()

    def findings(self, node: str = "") -> list[Finding]:
        """The verdict on every quantity in the trace, or at this node alone, without sums."""
        found: list[Finding] = []
        for place in _places(self.case, self.trace, self.kept):
            if node and (place.step is None or place.node != node):
                continue
            elementwise = place.step is not None and place.step.op.elementwise
            levels = Levels(place.references, self.precision, sums=not elementwise)
            here = [self.finding(place, q, levels) for q in levels.quantities()]
            found += here if place.step is None else self._of_one_function(place.step, here)
        if len(self.unexplained) > 1:
            unit = self.precision.unit
            alike = dict(exchanged(self.unexplained, list(self.unexplained), unit))
            found = [replace(f, note=alike.get(f.quantity, f.note)) for f in found]
        by_quantity = {f.quantity: f for f in found}
        return [self._with_verdict_of_use(f, by_quantity) for f in found]

    def _with_verdict_of_use(self, f: Finding, found: Mapping[Quantity, Finding]) -> Finding:
        """A sum over a single use is the same array as the use, and no better than it.

        It is undecided, or vacuous, as the use is.  Where the use is wrong it is undecided too: the
        use is the place of the fault.
        """
        if f.op != SUM or f.parity is False:
            return f
        uses = self.case.network.consumers(f.quantity.name)
        if len(uses) != 1 or f.quantity.name in self.case.network.ends:
            return f
        use = found.get(Quantity.through(*uses[0]))
        if use is None or use.parity or use.verdict is Verdict.CONVENTION:
            return f
        own = use.verdict is Verdict.VACUOUS or use.note in (NAN, LOST)
        note = use.note if own else f"{FOLLOWS} {use.quantity}"
        verdict = Verdict.INCONCLUSIVE if use.parity is False else use.verdict
        follows = "" if own else use.quantity
        told = replace(use, quantity=f.quantity, final=f.final)
        return replace(told, verdict=verdict, note=note, follows=follows)

    def _of_one_function(self, step: Step, findings: list[Finding]) -> list[Finding]:
        """Accept an allowed other function of a value only if the gradients are of it too."""
        for i, value in enumerate(findings):
            alone = value.convention in REDUCTIONS | VALUES
            if not value.declared or value.quantity.is_gradient or alone:
                continue
            for f in findings:
                own = f.quantity.is_gradient and not f.convention and f.verdict.parity
                at = step, f.quantity, self.case, self.trace
                if own and not is_of_that_function(value.convention, *at):
                    note = f"{value.note}; but {f.quantity} is that of the network's own function"
                    findings[i] = replace(value, declared=False, note=note)
                    break
        return findings

    def finding(self, place: _Place, q: Quantity, levels: Levels) -> Finding:
        """The verdict on one quantity, and why."""
        e, measured = levels.sharpest(q)
        note, form = "", None
        if measured.outside.any():
            form = self._usual_form(place, q, levels, e.got)
            if form is not None:
                measured, note = form.measured, form.note
            else:
                measured, note = self._suspicion(q, levels, measured)
                form = self._fast_product(place, q, levels, measured, note)
                if form is not None:
                    measured, note = form.measured, form.note
        with np.errstate(all="ignore"):  # infinite gradients are compared too
            kinks = summary_of_kinks(e, levels.roundings[0]) if e.valid is not None else None
        found = measured.finding(
            q,
            (place.node, place.op),
            _joint(form, measured.verdict(self.precision, kinks is not None and kinks.other)),
            self.precision.unit,
            kinks=kinks.summary if kinks else None,
            note=note,
            final=q.is_gradient_by(self.case.finals),
        )
        if note == ASK:
            return replace(found, verdict=Verdict.INCONCLUSIVE)
        bias = self._bias(measured, levels) if form is None and e.valid is None else None
        if bias is not None and bias.ratio > 1.0 and found.verdict is Verdict.ROUNDING:
            right = self._right_in_float64(q)
            # Roundings are not independent where the data of a program repeat.
            if right is not None and not (right and self.case.recorded):
                return with_bias(found, measured, bias, right)
        if found.verdict is Verdict.MISMATCH and not self.explain:
            return found
        if found.verdict is Verdict.MISMATCH:
            return self._explained(found, place.step, e, measured, levels)
        if found.verdict is Verdict.VACUOUS:
            unbounded = not np.isfinite(measured.bound).any()
            return replace(found, note=note or (why_unknown(e) if unbounded else SILENT))
        if found.verdict is Verdict.INCONCLUSIVE:
            return replace(found, note=note or why_unknown(e))
        power = (measured if form is None else form).power(at_kink(e))
        if power is not None and bias is not None:
            power = replace(power, tensor=min(power.tensor, bias.power))
        return replace(found, power=power)

    def _usual_form(
        self, place: _Place, q: Quantity, levels: Levels, got: NDArray
    ) -> UsualForm | None:
        """A usual form that explains what lies beyond the sharp bound."""
        inside = self.case.recorded and not levels.worst_case(q).outside.any()
        if inside and self._right_in_float64(q):
            return None  # it settles this, at the price of one form
        nearest = not self.case.recorded
        return usual_form(q, levels, got, self._inputs(place), nearest=nearest)

    def _inputs(self, place: _Place) -> NDArray | None:
        """The input of an elementwise op; None for any other op."""
        if place.step is None or not isinstance(place.step.op, Activation):
            return None
        name = place.step.inputs[0]
        found = self.case.given.get(name, self.trace.value.get(name))
        return None if found is None else np.asarray(found)

    def _suspicion(self, q: Quantity, levels: Levels, sharp: Measured) -> tuple[Measured, str]:
        """Settle what lies beyond the sharp bound: a fault, or an unforeseen order of summation.

        Outside the worst case it is a fault.  Inside it, an unusual order would show in the whole
        tensor, so an outlier is a fault as well.  What is left is a fault exactly if the same
        quantity is wrong in float64, where the worst case is sharp enough.
        """
        worst = levels.worst_case(q)
        if worst.outside.any() or len(levels.roundings) == 1:
            return worst, ""
        # Rounding stands out where the data of a program repeat, and the op itself is right.
        if self.case.recorded and self._right_in_float64(q):
            return worst, beyond_usual(sharp)
        if has_outlier(sharp):
            return sharp, "stands out of its tensor by far more than rounding scatters"
        if sharp.ratio.size < MINIMUM_SAMPLE and sharp.furthest > FEW_ELEMENTS:
            return sharp, "further off than any usual order of summation"
        right = self._right_in_float64(q)
        if right is None:
            return sharp, ASK
        if not right:
            return sharp, "wrong in float64 too"
        return worst, beyond_usual(sharp)

    def _bias(self, m: Measured, levels: Levels) -> SharedBias | None:
        """The bias that the elements share: tested in float32, where float64 can confirm it."""
        if self.precision.name != "float32" or self.float64 is None or m.identical:
            return None
        return shared_bias(m, levels.roundings[0].u)

    def _fast_product(
        self, place: _Place, q: Quantity, levels: Levels, measured: Measured, note: str
    ) -> UsualForm | None:
        """A fast algorithm for products, where the usual ones are exceeded and float64 is right."""
        name = self.precision.name
        if name not in ("float64", "float32") or not (measured.outside.any() or note == ASK):
            return None
        if name == "float32" and not self._right_in_float64(q):
            return None
        return fast_product(place.step, q, levels)

    def _right_in_float64(self, q: Quantity) -> bool | None:
        """Whether there is parity in float64; what is zero there is not wrong.  None if unknown."""
        found = None if self.float64 is None else self.float64().get(q)
        return None if found is None else found.verdict.parity is not False

    def _explained(
        self, found: Finding, step: Step | None, e: Reference, measured: Measured, levels: Levels
    ) -> Finding:
        """Name a fault: a lack of precision, a convention, or else a mismatch.

        A quantity that is right in float64 is never attributed to a convention, which would persist
        there; and one that has no name there has none here, where bounds are wider.
        """
        q, case, trace = found.quantity, self.case, self.trace
        there = None if self.float64 is None else self.float64().get(q)
        coarse = next(levels.explanations(q), "")
        if self._right_in_float64(q):
            times = measured.furthest
            beyond = f"{times:.3g} times what {entitled(self.precision)} can be off"
            said = f"right in float64; {beyond if np.isfinite(times) else OVERFLOW}"
            if coarse:
                said += ON_THE_WAY if lost_range(measured, coarse) else f", as far as {coarse}"
                return replace(found, verdict=Verdict.IMPRECISE, note=said)
            what = hint(measured.got, measured.want, measured.bound)
            return replace(found, note=joined(what, said, found.note))
        if step is not None and is_distinct(self.precision, q, self.float64):
            named = list(conventions(step, q, case, trace, e))
            determined = [c for c in named if c.determined]
            if determined:
                told = as_convention(found, determined, self.allow)
                return as_consequence(told, step, e, case, trace, self.instead, there)
            if any(is_allowed(c, self.allow) for c in named):
                return undetermined(found, named[0].name)
        # In float32 some number fits too easily; float64 names it.
        fits, known = self.float64 is None, self.instead
        reason = reason_of(step, e, case, trace, measured.bound, fits=fits, known=known)
        reason = reason_in_float64(reason, there)
        if not reason and q.is_gradient_by(case.network.trained):
            self.unexplained[q] = measured
        few = measured.got.size < MINIMUM_SCATTER
        scatters = few or is_scattered(measured.got, measured.want, measured.bound)
        as_far = f"as far off as {coarse} is" if coarse and not reason and scatters else ""
        return replace(found, note=joined(reason, found.note, as_far))


def _joint(form: UsualForm | None, verdict: Verdict) -> Verdict:
    """The verdict of a usual form, unless some elements are undecided or chosen at a kink."""
    if form is None or verdict is Verdict.INCONCLUSIVE:
        return verdict
    chosen = verdict is Verdict.SUBGRADIENT and form.verdict is Verdict.ROUNDING
    return verdict if chosen else form.verdict
