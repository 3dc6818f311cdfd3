"""The diagnosis of a report, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..findings.finding import FOLLOWS, SUM, Finding, Verdict
from ..findings.shown import printer
from .records import Run, share
from .report import Report

__all__ = ["Wrong", "diagnosis", "faults", "headline", "rows"]

#: Quantities told before the rest is counted, and different reasons given for one.
TOLD, SEVERAL = 10, 3


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
    parts += [_told(wrong) for wrong in bad[:TOLD]]
    if len(bad) > TOLD:
        parts.append(f"... and {len(bad) - TOLD} more")
    if untested:
        parts.append("\n".join(untested))
    if report.skipped:
        parts.append("\n".join(f"skipped {name}: {why}" for name, why in report.skipped.items()))
    return "\n\n".join([*parts, _conclusion(report, bad)])


@printer(Report, "headline")
def headline(report: Report) -> str:
    """The worst in one line: for pytest's short summary, and as the repr of a report."""
    bad = faults(report)
    untested = _untested(report)
    if bad:
        run, f, _ = bad[0]
        place = f" at node {f.node!r}" if f.node else ""
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{f.verdict} in {f.quantity}{place}: {_name(run)}{more}"
    if untested:
        return untested[0]
    return "there is parity" if report else "nothing was compared"


class Wrong(NamedTuple):
    """A finding that is in the way of parity, and the others of the same quantity of that op."""

    run: Run
    finding: Finding
    too: list[tuple[Run, Finding]]


def faults(report: Report) -> list[Wrong]:
    """The worst verdict first; one quantity of one op in several dtypes and cases is told once."""
    found: dict[tuple[str, ...], Wrong] = {}
    for run, f in report.findings():
        if f.parity is False or f.verdict is Verdict.INCONCLUSIVE:
            case = "" if f.op else run.case  # what has no place is told of every case
            key = (case, run.adapter, f.quantity, f.node, f.op, f.verdict, f.convention)
            if key in found:
                found[key].too.append((run, f))
            else:
                found[key] = Wrong(run, f, [])
    return sorted(found.values(), key=_rank)


def _rank(wrong: Wrong) -> tuple[Any, ...]:
    """The worst first: by verdict, a cause before the sum over uses that it spoils, by bounds."""
    f = wrong.finding
    return -f.verdict.badness, f.op == SUM, FOLLOWS in f.note, -share(f)


def _untested(report: Report) -> list[str]:
    """Runs in which nothing is wrong and nothing was tested."""
    return [
        f"{_name(run)}: nothing was tested, for every final gradient is zero or below its own bound"
        for run in report.runs
        if run.exit_code == 2 and not any(f.verdict is Verdict.INCONCLUSIVE for f in run.findings)
    ]


def _told(wrong: Wrong) -> str:
    """One quantity: where, which run, what was there and what belongs there, and why."""
    f = wrong.finding
    place = f", at node {f.node!r}" if f.node else ""
    place += f", op {f.op}" if f.op else ""
    lines = (f"  {label:<11} {said}" for label, said in rows(wrong))
    return "\n".join([f"{f.quantity}{place}", *lines])


def rows(wrong: Wrong) -> Iterator[tuple[str, str]]:
    """(label, text) of what is to be said of it."""
    run, f, too = wrong
    yield "run", _name(run)
    dtypes = [other.dtype for other, _ in too if other.case == run.case]
    cases = dict.fromkeys(other.case for other, _ in too if other.case != run.case)
    also = [*dtypes, *(f"case {case!r}" for case in cases)]
    if also:
        more = f" and {len(also) - TOLD} more" if len(also) > TOLD else ""
        yield "also", ", ".join(also[:TOLD]) + more
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


def _reasons(wrong: Wrong) -> Iterator[tuple[str, str]]:
    """Why, and what else was said of it elsewhere, where that is something else."""
    f, too = wrong.finding, wrong.too
    if f.note:
        yield "why", f.note
    seen = {_words(f.note)}
    for other, g in too:
        if g.note and _words(g.note) not in seen and len(seen) <= SEVERAL:
            seen.add(_words(g.note))
            yield "also", f"{g.note} (case {other.case!r}, {other.dtype})"


def _words(note: str) -> str:
    """Without numbers, and without what is only about where."""
    return re.sub(
        r"[-+]?\d[\d.e+-]*|; at .*|(on ordinary arrays|wrong in float64) too(; )?", "", note
    )


def _name(run: Run) -> str:
    return f"{run.adapter}, {run.dtype}, case {run.case!r}"


def _conclusion(report: Report, bad: list[Wrong]) -> str:
    word = {0: "PARITY", 1: "NO PARITY", 2: "UNKNOWN"}[report.exit_code]
    if not report.runs:
        return f"{word}  nothing was compared"
    runs = sum(run.exit_code != 0 for run in report.runs)
    total = len(report.findings())
    if report:
        meant = dict.fromkeys(f.convention for _, f in report.findings() if f.declared)
        said = f", expected: {', '.join(meant)}" if meant else ""
        return f"{word}  {total} quantities in {len(report.runs)} runs{said}"
    wrong = sum(1 + len(each.too) for each in bad)
    verb = "is" if wrong == 1 else "are"
    return (
        f"{word}  {wrong} of {total} quantities {verb} not right, "
        f"in {runs} of {len(report.runs)} runs"
    )
