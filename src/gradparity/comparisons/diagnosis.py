"""What is wrong in a report, in words."""

from __future__ import annotations

from collections.abc import Iterator

from .finding import Finding, Verdict
from .report import Report, Run

__all__ = ["diagnosis", "headline"]

#: Quantities told before the rest is counted.
TOLD = 10


def diagnosis(report: Report) -> str:
    """What is wrong, where and why: the worst first, the conclusion last.

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
    bad = _bad(report)
    untested = _untested(report)
    parts = [headline(report)]
    parts += [_told(run, finding) for run, finding in bad[:TOLD]]
    if len(bad) > TOLD:
        parts.append(f"... and {len(bad) - TOLD} more")
    if untested:
        parts.append("\n".join(untested))
    if report.skipped:
        parts.append("\n".join(f"skipped {name}: {why}" for name, why in report.skipped.items()))
    return "\n\n".join([*parts, _conclusion(report, bad)])


def headline(report: Report) -> str:
    """The worst in one line: for pytest's short summary, and as the repr of a report."""
    bad = _bad(report)
    untested = _untested(report)
    if bad:
        run, f = bad[0]
        place = f" at node {f.node!r}" if f.node else ""
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"{f.verdict} in {f.quantity}{place}: {_name(run)}{more}"
    if untested:
        return untested[0]
    return "there is parity" if report else "nothing was compared"


def _bad(report: Report) -> list[tuple[Run, Finding]]:
    """Every finding that is in the way of parity, the worst verdict first."""
    bad = [
        (run, f)
        for run, f in report.findings()
        if f.parity is False or f.verdict is Verdict.INCONCLUSIVE
    ]
    return sorted(bad, key=lambda found: -found[1].verdict.badness)


def _untested(report: Report) -> list[str]:
    """Runs in which nothing is wrong and nothing was tested."""
    return [
        f"{_name(run)}: nothing was tested, for every final gradient is zero or below its own bound"
        for run in report.runs
        if run.exit_code == 2 and not any(f.verdict is Verdict.INCONCLUSIVE for f in run.findings)
    ]


def _told(run: Run, f: Finding) -> str:
    """One quantity: where, which run, what was there and what belongs there, and why."""
    place = f", at node {f.node!r}" if f.node else ""
    place += f", op {f.op}" if f.op else ""
    return "\n".join(
        [f"{f.quantity}{place}", *(f"  {label:<11} {said}" for label, said in _rows(run, f))]
    )


def _rows(run: Run, f: Finding) -> Iterator[tuple[str, str]]:
    yield "run", _name(run)
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
    if f.note:
        yield "why", f.note


def _name(run: Run) -> str:
    return f"{run.adapter}, {run.dtype}, case {run.case!r}"


def _conclusion(report: Report, bad: list[tuple[Run, Finding]]) -> str:
    word = {0: "PARITY", 1: "NO PARITY", 2: "UNKNOWN"}[report.exit_code]
    if not report.runs:
        return f"{word}  nothing was compared"
    runs = sum(run.exit_code != 0 for run in report.runs)
    total = len(report.findings())
    verb = "is" if len(bad) == 1 else "are"
    return (
        f"{word}  {len(bad)} of {total} quantities {verb} not right, "
        f"in {runs} of {len(report.runs)} runs"
    )
