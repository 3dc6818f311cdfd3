"""Explanations of the faults in a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..findings.finding import FOLLOWS, SUM, Finding, Verdict
from ..findings.shown import printer
from .records import WORD, Run, share
from .report import Report

__all__ = ["Wrong", "diagnosis", "faults", "headline", "rows"]

#: Maximum number of faults, or of runs of one fault, before the rest is only counted; and of
#: different reasons for one fault.
LIMIT, SEVERAL = 10, 3


@printer(Report, "diagnosis")
def diagnosis(report: Report) -> str:
    """Explain the faults, where and why: the worst first, the conclusion last.

    >>> import gradparity as gp
    >>> from gradparity.core import Affine, L2
    >>> def mine(case):
    ...     given = gp.backprop(case)
    ...     given.grad["b1"] *= 3
    ...     return given
    >>> print(diagnosis(gp.check(gp.layered([Affine(3, 2)], L2()), mine, dtypes=["float64"])))
    mismatch in grad b1 at node 'z1': mine, float64, case 'case'
    <BLANKLINE>
    grad b1, at node 'z1', op Affine(n_in=3, n_out=2, bias=True)
      run         mine, float64, case 'case'
      verdict     MISMATCH, 2 of 2 elements outside their bound
      worst       index [0]: got 0.560506011, the formula gives 0.186835337
      error       1.8e+16 u, bound 366 u
      why         every element is 3 times the formula
    <BLANKLINE>
    NO PARITY  1 of 10 quantities is not right, in 1 of 1 runs
    """
    bad = faults(report)
    untested = _untested(report)
    parts = [headline(report)]
    parts += [_paragraph(wrong) for wrong in bad[:LIMIT]]
    if len(bad) > LIMIT:
        parts.append(f"... and {len(bad) - LIMIT} more")
    if untested:
        parts.append("\n".join(untested))
    if report.skipped:
        parts.append("\n".join(f"skipped {name}: {why}" for name, why in report.skipped.items()))
    return "\n\n".join([*parts, _conclusion(report, bad)])


@printer(Report, "headline")
def headline(report: Report) -> str:
    """The worst fault in one line, for pytest's short summary and the repr of a report."""
    bad = faults(report)
    untested = _untested(report)
    if bad:
        run, f, *_ = bad[0]
        place = f" {f.place}" if f.node else ""
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{f.verdict} in {f.quantity}{place}: {_name(run)}{more}"
    if untested:
        return untested[0]
    return "there is parity" if report else "nothing was compared"


class Wrong(NamedTuple):
    """A finding without parity, the other findings of the same fault, and what only follows."""

    run: Run
    finding: Finding
    too: list[tuple[Run, Finding]]
    following: list[Finding]


def faults(report: Report) -> list[Wrong]:
    """List each fault once, the worst first; dtypes and cases of one op's quantity are merged."""
    found: dict[tuple[str, ...], Wrong] = {}
    for run, f in report.findings():
        if f.parity is False or f.verdict is Verdict.INCONCLUSIVE:
            case = "" if f.op else run.case  # without an op it may differ from case to case
            key = (case, run.adapter, f.quantity, f.node, f.op, f.verdict, f.convention)
            if key in found:
                found[key].too.append((run, f))
            else:
                found[key] = Wrong(run, f, [], [])
    causes = [wrong for wrong in found.values() if not _follows(wrong.finding)]
    for wrong in found.values():
        if _follows(wrong.finding):
            cause = next((c for c in causes if _is_cause(c, wrong)), None)
            if cause:
                cause.following.extend([wrong.finding, *(f for _, f in wrong.too)])
            else:
                causes.append(wrong)
    return sorted(causes, key=lambda wrong: _rank(wrong.finding))


def _is_cause(cause: Wrong, wrong: Wrong) -> bool:
    """Whether a finding of the same run is what the other follows from."""
    runs = [cause.run, *(run for run, _ in cause.too)]
    here = any(run is wrong.run for run in runs)
    return here and wrong.finding.note == f"{FOLLOWS} {cause.finding.quantity}"


def _follows(f: Finding) -> bool:
    """Whether nothing is known of it only because another quantity is undecided."""
    return f.verdict is Verdict.INCONCLUSIVE and f.note.startswith(FOLLOWS)


def _rank(f: Finding) -> tuple[Any, ...]:
    """Sort by verdict, put a cause before its consequences, then sort by the share of the bound."""
    return -f.verdict.badness, f.op == SUM, FOLLOWS in f.note, -share(f)


def _untested(report: Report) -> list[str]:
    """Describe the runs in which nothing is wrong because nothing was tested."""
    return [
        f"{_name(run)}: nothing was tested: every final gradient is zero or below its own bound"
        for run in report.runs
        if run.exit_code == 2 and not any(f.verdict is Verdict.INCONCLUSIVE for f in run.findings)
    ]


def _paragraph(wrong: Wrong) -> str:
    """The place of a fault, then its labelled rows."""
    f = wrong.finding
    place = f", {f.place}" if f.node else ""
    place += f", op {f.op}" if f.op else ""
    lines = (f"  {label:<11} {said}" for label, said in rows(wrong))
    return "\n".join([f"{f.quantity}{place}", *lines])


def rows(wrong: Wrong) -> Iterator[tuple[str, str]]:
    """(label, text) of each fact about a fault."""
    run, f, too, following = wrong
    yield "run", _name(run)
    dtypes = [other.dtype for other, _ in too if other.case == run.case]
    cases = dict.fromkeys(other.case for other, _ in too if other.case != run.case)
    also = [*dtypes, *(f"case {case!r}" for case in cases)]
    if also:
        more = f" and {len(also) - LIMIT} more" if len(also) > LIMIT else ""
        yield "also", ", ".join(also[:LIMIT]) + more
    outside = f", {f.outside} of {f.elements} elements outside their bound" if f.outside else ""
    name = f" {f.convention}" if f.convention else ""
    yield "verdict", f"{f.verdict.upper()}{name}{outside}"
    if f.index is not None:
        got, expected = (f"{value:.9g}" for value in (f.got, f.expected))
        if got == expected and f.got != f.expected:
            got, expected = (f"{value:.17g}" for value in (f.got, f.expected))
        yield "worst", f"index {list(f.index)}: got {got}, the formula gives {expected}"
    if f.bound or f.error:
        yield "error", f"{f.error:.3g} u, bound {f.bound:.3g} u"
    if f.kinks:
        yield "kinks", str(f.kinks)
    yield from _reasons(wrong)
    if following:
        names = dict.fromkeys(g.quantity for g in following)
        verb = "follows" if len(names) == 1 else "follow"
        yield "so", f"{len(names)} more undecided {verb} from it, the first {next(iter(names))}"


def _reasons(wrong: Wrong) -> Iterator[tuple[str, str]]:
    """The explanation, and different explanations from other runs."""
    f, too = wrong.finding, wrong.too
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
        r"[-+]?\d[\d.e+-]*|; at .*|(on ordinary arrays|wrong in float64) too(; )?", "", note
    )


def _name(run: Run) -> str:
    return f"{run.adapter}, {run.dtype}, case {run.case!r}"


def _conclusion(report: Report, bad: list[Wrong]) -> str:
    word = WORD[report.exit_code]
    if not report.runs:
        return f"{word}  nothing was compared"
    runs = sum(run.exit_code != 0 for run in report.runs)
    total = len(report.findings())
    if report:
        allowed = dict.fromkeys(f.convention for _, f in report.findings() if f.declared)
        names = f", allowed: {', '.join(allowed)}" if allowed else ""
        return f"{word}  {total} quantities in {len(report.runs)} runs{names}"
    wrong = sum(1 + len(each.too) + len(each.following) for each in bad)
    verb = "is" if wrong == 1 else "are"
    said = "undecided" if all(each.finding.parity is None for each in bad) else "not right"
    return (
        f"{word}  {wrong} of {total} quantities {verb} {said}, in {runs} of {len(report.runs)} runs"
    )
