"""Explanations of the faults in a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ..explain.allowed import REDUCTIONS
from ..findings.elements import side_by_side
from ..findings.finding import Finding, Verdict
from ..findings.shown import printer
from .causes import Cause, causes
from .records import WORD, Run
from .report import Report

__all__ = ["diagnosis", "headline", "reasons", "rows", "runs_of", "strictness"]

#: Maximum number of causes, or of findings of one cause, before the rest is only counted; and of
#: different reasons for one.
LIMIT, SEVERAL = 10, 3
#: How the note of a recorded node without a formula begins.
UNJUDGED = "not judged"
#: How the note of a finding ends that says why nothing is tested.
NOTHING = "so that nothing is tested"


@printer(Report, "diagnosis")
def diagnosis(report: Report) -> str:
    """Explain the faults, where and why: the earliest first, the conclusion last.

    >>> import gradparity as gp
    >>> from gradparity.core import Affine, L2
    >>> def mine(case):
    ...     given = gp.backprop(case)
    ...     given.grad["b1"] *= 3
    ...     return given
    >>> print(diagnosis(gp.check(gp.layered([Affine(3, 2)], L2()), mine, dtypes=["float64"])))
    mismatch in grad b1 at node 'z1': mine, float64, case 'case'
    <BLANKLINE>
    grad b1, at node 'z1', op Affine(3, 2)
      run         mine, float64, case 'case'
      verdict     MISMATCH, 2 of 2 elements outside their bound
      worst       index [0]: got 0.560506011, the formula gives 0.186835337
      error       1.8e+16 u, bound 366 u
      why         every element is 3 times the formula
    <BLANKLINE>
    NO PARITY  1 of 10 quantities is not right, in 1 run
    """
    bad = causes(report)
    untested = _untested(report)
    parts = [headline(report)]
    parts += [_paragraph(cause) for cause in bad[:LIMIT]]
    if len(bad) > LIMIT:
        parts.append(f"... and {len(bad) - LIMIT} more")
    if untested:
        parts.append("\n".join(untested))
    if report.skipped:
        parts.append("\n".join(f"skipped {name}: {why}" for name, why in report.skipped.items()))
    return "\n\n".join([*parts, _conclusion(report, bad)])


@printer(Report, "headline")
def headline(report: Report) -> str:
    """The earliest fault in one line, for pytest's short summary and the repr of a report."""
    bad = causes(report)
    untested = _untested(report)
    answer = next((run.answer for run in report.runs if run.answer), "")
    if answer:
        return answer
    if bad:
        run, f, *_ = bad[0]
        place = f" {f.place}" if f.node else ""
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{f.verdict} in {f.quantity}{place}: {_name(run)}{more}"
    if untested:
        return untested[0]
    return "there is parity" if report else "nothing was compared"


def _untested(report: Report) -> list[str]:
    """Describe the runs in which nothing is wrong because something was not tested."""
    return [f"{_name(run)}: {why}" for run in report.runs if (why := _why_unknown(run))]


def reasons(report: Report) -> str:
    """Why nothing is wrong and yet parity is unknown: each reason of a run once, the first few."""
    found = [*dict.fromkeys(filter(None, map(_why_unknown, report.runs)))]
    more = [f"{len(found) - SEVERAL} more reasons"] if len(found) > SEVERAL else []
    return "; ".join([*found[:SEVERAL], *more])


def _why_unknown(run: Run) -> str:
    """Why a run decides nothing; empty if it does, or if a finding says why."""
    undecided = [f for f in run.findings if f.verdict is Verdict.INCONCLUSIVE]
    if run.coverage and undecided and all(f.note.startswith(UNJUDGED) for f in undecided):
        return f"{run.coverage.partition(';')[0]}, which is not enough" * (run.exit_code == 2)
    if run.exit_code != 2 or undecided:
        return ""
    if run.untested and not run.all_zero:
        names, verb = ", ".join(run.untested[:LIMIT]), "was" if len(run.untested) == 1 else "were"
        names += f" and {len(run.untested) - LIMIT} more" if len(run.untested) > LIMIT else ""
        return f"{names} {verb} not tested: every element is below its own bound"
    notes = {f.note for f in run.findings if f.final}
    if len(notes) == 1 and (note := notes.pop()).endswith(NOTHING):
        return note
    at = sum(f.kinks.count for f in run.findings if f.kinks)
    why = f"; {at} elements are exactly at a kink, where zero is a valid choice" if at else ""
    return f"nothing was tested: every final gradient is zero or below its own bound{why}"


def _paragraph(cause: Cause) -> str:
    """The place of a fault, then its labelled rows."""
    f = cause.finding
    place = f", {f.place}" if f.node else ""
    place += f", op {f.op}" if f.op else ""
    lines = (f"  {label:<11} {said}" for label, said in rows(cause))
    return "\n".join([f"{f.quantity}{place}", *lines])


def rows(cause: Cause) -> Iterator[tuple[str, str]]:
    """(label, text) of each fact about a cause."""
    run, f = cause.run, cause.finding
    yield "run", _name(run)
    yield from _elsewhere(cause)
    outside = f", {f.outside} of {f.elements} elements outside their bound" if f.outside else ""
    name = f" {f.convention}" if f.convention else ""
    yield "verdict", f"{f.verdict.upper()}{name}{outside}"
    if f.index is not None:
        got, expected = side_by_side(f.got, f.expected)
        yield "worst", f"index {list(f.index)}: got {got}, the formula gives {expected}"
    if (f.bound or f.error) and math.isfinite(f.got) and math.isfinite(f.expected):
        yield "error", f"{f.error:.3g} u, bound {f.bound:.3g} u"
    if f.kinks:
        yield "kinks", str(f.kinks)
    yield from _reasons(cause)
    yield from _consequences(cause)


def _elsewhere(cause: Cause) -> Iterator[tuple[str, str]]:
    """The dtypes, cases and quantities that the same is said of."""
    run, f, too, _ = cause
    same = [other for other, g in too if g.quantity == f.quantity]
    dtypes = [other.dtype for other in same if other.case == run.case]
    cases = dict.fromkeys(other.case for other in same if other.case != run.case)
    also = [*dtypes, *(f"case {case!r}" for case in cases)]
    if also:
        yield "also", _listed(also)
    others = dict.fromkeys(
        _located(g) if g.node else g.quantity for _, g in too if g.quantity != f.quantity
    )
    if others:
        yield ("the same" if f.note else "also wrong"), _listed(list(others))


def _located(f: Finding) -> str:
    """A quantity and its place; in a recorded program, whose names hold the node, only the line."""
    where = ", ".join(filter(None, (f.module, f.source)))
    return f"{f.quantity} ({where})" if where else f"{f.quantity} {f.place}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LIMIT} more" if len(names) > LIMIT else ""
    return ", ".join(names[:LIMIT]) + more


def _consequences(cause: Cause) -> Iterator[tuple[str, str]]:
    """How many findings follow from it."""
    names = list(dict.fromkeys(g.quantity for _, g in cause.following))
    if not names:
        return
    undecided = all(g.verdict is Verdict.INCONCLUSIVE for _, g in cause.following)
    verb, be = ("follows", "is") if len(names) == 1 else ("follow", "are")
    few = len(names) <= SEVERAL
    who = " and ".join(names) if few else f"{len(names)} more, the first {names[0]},"
    or_not = " and cannot be decided" if undecided else f", or {be} wrong too"
    yield "so", f"{who} {verb} from it{or_not}"


def _reasons(cause: Cause) -> Iterator[tuple[str, str]]:
    """The explanation, and different explanations from other runs."""
    f, too = cause.finding, cause.too
    if f.note:
        yield "why", f.note
    seen = {_words(f.note)}
    for other, g in too:
        if g.note and _words(g.note) not in seen and len(seen) <= SEVERAL:
            seen.add(_words(g.note))
            yield "also", f"{g.note} (case {other.case!r}, {other.dtype})"


def _words(note: str) -> str:
    """A note without its numbers and places, for comparing explanations."""
    return re.sub(
        r"in float64: |[-+]?\d[\d.e+-]*|; at .*|(on ordinary arrays|wrong in float64) too(; )?",
        "",
        note,
    )


def _name(run: Run) -> str:
    return f"{run.adapter}, {run.dtype}, case {run.case!r}"


def strictness(report: Report) -> str:
    """The words that a conclusion ends with if the check was strict."""
    return ", strict: lossy is no parity" if any(f.strict for _, f in report.findings()) else ""


def runs_of(report: Report, some: int | None = None) -> str:
    """The number of runs in words; or how many they are of all of them, if there are several."""
    n = len(report.runs)
    return "1 run" if n == 1 else f"{n} runs" if some is None else f"{some} of {n} runs"


def _conclusion(report: Report, bad: list[Cause]) -> str:
    word = WORD[report.exit_code]
    if not report.runs:
        return f"{word}  nothing was compared"
    runs = sum(run.exit_code != 0 for run in report.runs)
    total = len(report.findings())
    if report:
        allowed = dict.fromkeys(f.convention for _, f in report.findings() if f.declared)
        names = f", allowed: {', '.join(allowed)}" if allowed else ""
        lossy = sum(f.verdict is Verdict.LOSSY for _, f in report.findings())
        names += f", {lossy} of them lossy" if lossy else ""
        return f"{word}  {total} quantities in {runs_of(report)}{names}{strictness(report)}"
    wrong = sum(1 + len(each.too) + len(each.following) for each in bad)
    verb = "is" if wrong == 1 else "are"
    if not bad:  # nothing is wrong, but something was not tested
        why = reasons(report) or "nothing was compared"
        return f"{word}  {why}, in {runs_of(report, runs)}{strictness(report)}"
    said = "undecided" if all(each.finding.parity is None for each in bad) else "not right"
    line = f"{word}  {wrong} of {total} quantities {verb} {said}"
    line += f", in {runs_of(report, runs)}{strictness(report)}"
    conventions = [name for cause in bad for name in cause.finding.convention.split("+")]
    accepting = f"; to accept it: allow={list(dict.fromkeys(conventions))}"
    return f"{line}{accepting}" if all(conventions) and _alike(report) else line


def _alike(report: Report) -> bool:
    """Whether all gradients of parameters have the same reduction: only then can it be allowed."""
    inputs = {name for graph in report.graphs.values() for name in graph.inputs}
    finals = [
        [f for f in run.findings if f.final and f.quantity.name not in inputs]
        for run in report.runs
    ]
    return all(len({REDUCTIONS & {*f.convention.split("+")} for f in run}) < 2 for run in finals)
