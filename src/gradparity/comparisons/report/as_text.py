"""A report as text: pure functions of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..findings.finding import Finding, KinkSummary, Power, Verdict, choice_in_words
from ..findings.layout import Lines, grouped, labelled, plain_text, shortened, spaced
from ..findings.shown import printer
from .causes import causes
from .diagnosis import reasons, rows, runs_of, strictness
from .modules import module_of, module_rows
from .records import PARITY, WORD, Run, by_case, columns_of, quantities
from .report import Report

__all__ = ["renderable", "text"]

STYLE = {True: "green", False: "bold red", None: "yellow"}
#: Implementations and dtypes side by side in 80 columns.
COLUMNS = 4
#: Maximum number of faults, and of lines of a list, before the rest is only counted.
LIMIT = 20
#: Maximum number of names in one line.
MANY = 60
#: Different choices listed one by one before only their range is.
SEVERAL = 3


@printer(Report, "text")
def text(report: Report, detail: str = "auto") -> str:
    """Plain text, 80 columns wide."""
    return plain_text(renderable(report, detail))


def renderable(report: Report, detail: str = "auto") -> RenderableType:
    """The report for `rich`.

    `detail` is "all" (every case node by node), "none" (one row per case), or "auto": node by node
    where there are few cases, and for the digits.
    """
    cases = by_case(report.runs)
    few = len(cases) <= 3
    full = {
        case: detail == "all" or (detail == "auto" and (few or case.startswith("digits")))
        for case in cases
    }
    recorded = {run.case for run in report.runs if run.coverage or run.answer}
    brief = [] if few or detail == "all" else [c for c, runs in cases.items() if _is_brief(runs)]
    others = [case for case in cases if case in brief or not (full[case] or case in recorded)]
    sections: list[Lines] = [[*_answers(report), _header(report)]]
    for case, runs in cases.items():
        whole = full[case] and (case not in recorded or detail == "all")
        sections += [[_nodes(some)] for some in _batches(runs if whole else [])]
        shown = [run for run in runs if run.coverage and case not in brief]
        sections += [[_modules(run), Text(run.coverage)] for run in shown]
    for columns in _batches(columns_of(report.runs) if others else []):
        sections.append([_summary(report, others, columns)])
    sections.append(_partial(cases, brief))
    lists = (_kinks, _noted, _structural, _vacuous, _unexercised, _not_returned, _pairs)
    kinks, *rest = ([*lines(report)] for lines in lists)
    kinks = shortened(kinks, LIMIT) if recorded else kinks
    return spaced([*sections, kinks, *_faults(report), *rest], _conclusion(report))


def _answers(report: Report) -> Lines:
    """Whether two programs are the same, and where they first part, in one sentence."""
    style = STYLE[PARITY[report.exit_code]]
    return [Text(run.answer, style=style) for run in report.runs if run.answer]


def _header(report: Report) -> Text:
    e = dict(report.environment)
    parts = [f"gradparity {e.pop('gradparity', '')}", *(f"{k} {v}" for k, v in e.items())]
    skipped = [f"{name}: {why}" for name, why in report.skipped.items()]
    return Text(" · ".join([*parts, *skipped]), style="dim")


def _batches(columns: list[Any]) -> list[list[Any]]:
    return [columns[i : i + COLUMNS] for i in range(0, len(columns), COLUMNS)]


def _nodes(runs: list[Run]) -> Table:
    """One case: a row per quantity, a column per implementation and dtype."""
    about = f": {runs[0].about}" if runs[0].about and not runs[0].answer else ""
    table = _table(f"{runs[0].case}{about}", "error/bound in u", runs)
    for quantity, findings in quantities(runs):
        table.add_row(Text(quantity.replace(" -> ", "→")), *map(_cell, findings))
    return table


def _summary(report: Report, cases: list[str], columns: list[str]) -> Table:
    """Many cases: a row each, with the worst verdict and the largest share of a bound used."""
    runs = {(run.case, run.column): run for run in report.runs if run.case in cases}
    first = [next(run for run in report.runs if run.column == column) for column in columns]
    table = _table("worst verdict of each case", "and share of the bound used", first)
    for case in cases:
        table.add_row(Text(case), *(_summary_cell(runs.get((case, c))) for c in columns))
    return table


def _is_brief(runs: Sequence[Run]) -> bool:
    """Whether one line says as much of a recorded case as its tables of modules."""
    recorded = all(run.coverage for run in runs)
    return recorded and all(run.exit_code == 0 or len(module_rows(run)) == 1 for run in runs)


def _partial(cases: Mapping[str, Sequence[Run]], brief: Sequence[str]) -> Lines:
    """The coverage of the cases with one line each, where it says more than that all is judged."""
    found = grouped(
        (run.coverage, f"{case} {run.dtype}")
        for case in brief
        for run in cases[case]
        if ";" in run.coverage
    )
    lines = [Text(f"{_named(names)}: {coverage}") for coverage, names in found.items()]
    return shortened(lines, LIMIT)


def _modules(run: Run) -> Table:
    """A recorded program: a row per module."""
    table = _table(f"{run.case}: {run.adapter}", f"{run.dtype}, as it ran", [])
    for heading in ("nodes", "results", "worst verdict", "of its bound"):
        table.add_column(heading, justify="left" if heading == "worst verdict" else "right")
    for row in module_rows(run):
        verdict = Text(str(row.worst.verdict), style=STYLE[row.worst.parity])
        part = f"{100 * row.nearest:.0f}%" if row.nearest <= 1 else "beyond"
        numbers = str(row.nodes), str(row.results)
        table.add_row(Text(row.path or "(no module)"), *numbers, verdict, part)
    return table


def _table(title: str, legend: str, runs: list[Run]) -> Table:
    table = Table(
        title=Text(f"{title}  ({legend})"), title_justify="left", title_style="bold", box=None,
        pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("", overflow="fold")
    for run in runs:
        dtype = run.dtype.replace("bfloat", "bf").replace("float", "f")
        table.add_column(Text(f"{run.adapter} {dtype}"), overflow="fold")
    return table


def _summary_cell(run: Run | None) -> Text:
    if run is None:
        return Text("-")
    share = f" {100 * run.nearest:.0f}%" if run.verdict is Verdict.ROUNDING else ""
    return Text(f"{run.verdict}{share}", style=STYLE[run.verdict.parity])


def _cell(finding: Finding | None) -> Text:
    if finding is None:  # this implementation did not return the quantity
        return Text("-")
    numbers = ""
    if finding.verdict in (Verdict.ROUNDING, Verdict.MISMATCH):
        numbers = f" {_number(finding.error)}/{_number(finding.bound)}"
    return Text(f"{finding.verdict}{numbers}", style=STYLE[finding.parity])


def _number(x: float) -> str:
    """At most four characters, so that four columns fit."""
    if x < 9.95:
        return f"{x:.1f}".removeprefix("0")
    return f"{x:.0f}" if x < 9999.5 else f"{x:.0e}".replace("+0", "")


def _kinks(report: Report) -> Iterator[RenderableType]:
    """The subgradients taken at kinks: a line per gradient, implementations grouped by choice."""
    found = grouped(
        ((f"{run.case}, {f.quantity}", f"network: {k.reference}, valid: {k.valid}"), (k, run))
        for run, f in report.findings()
        if (k := f.kinks)
    )
    columns = columns_of(report.runs)
    if found:
        yield Text("subgradients taken exactly at a kink", style="bold")
    for (where, rule), taken in found.items():
        choices = []
        for took, who in grouped((_taken(k), run.column) for k, run in taken).items():
            everyone = len(who) == len(columns)
            choices.append(f"{took}: {'all' if everyone else ', '.join(who).replace('float', 'f')}")
        yield Text(f"{where}: {'; '.join(choices)} [{rule}]")


def _taken(kinks: KinkSummary) -> str:
    if len(kinks.taken) > SEVERAL:
        return f"{len(kinks.taken)} values from {min(kinks.taken)} to {max(kinks.taken)}"
    choices = [f"{choice_in_words(what)} ({n}x)" for what, n in kinks.taken.items()]
    return " and ".join(choices) or "undetermined"


def _faults(report: Report) -> list[Lines]:
    """Each cause once, the earliest first."""
    blocks = []
    for cause in causes(report):
        f = cause.finding
        place = f" {f.place}" if f.node else ""
        place += f", {f.op}" if f.op else ""
        title = Text(f"{f.quantity}{place}", style="bold")
        blocks.append(Group(title, labelled(rows(cause), verdict=STYLE[f.parity])))
    return [[block] for block in shortened(blocks, LIMIT)]


def _noted(report: Report) -> Lines:
    """Right quantities with a remark: allowed conventions, unusual orders."""
    noted = grouped(
        ((run.adapter, f.quantity, f"{f.verdict} {f.convention}".strip()), (run, f))
        for run, f in report.findings()
        if f.parity is True and f.note
    )
    lines = []
    for (adapter, quantity, what), those in noted.items():
        run, f = those[0]
        more = f" (and {len(those) - 1} more)" if len(those) > 1 else ""
        allowed = " (allowed)" if f.declared else ""
        where = f"{run.case}, {adapter} {run.dtype}, {quantity}"
        lines.append(Text(f"{where}: {what}{allowed}{more}; {f.note}"))
    return shortened(lines, LIMIT)


def _structural(report: Report) -> Lines:
    """Final gradients that are zero whatever the data."""
    found = grouped((run.case, f.quantity) for run, f in report.findings() if f.structural)
    lines = [f"{case}, zero by structure: {_named(names)}" for case, names in found.items()]
    return shortened([Text(line) for line in lines], LIMIT)


def _vacuous(report: Report) -> Lines:
    """Untested gradients: those that are zero, or below their own bound; and what was skipped."""
    vacuous = [(run, f) for run, f in report.findings() if f.verdict is Verdict.VACUOUS]
    untested = grouped(
        ((run.case, bool(run.coverage)), f) for run, f in vacuous if f.elements and not f.structural
    )
    lines = [
        f"{case}, not tested (zero, or below its own bound): "
        f"{_named(_by_module(those) if recorded else [f.quantity for f in those])}"
        for (case, recorded), those in untested.items()
    ]
    skipped = grouped(((run.case, f.note), f.quantity) for run, f in vacuous if not f.elements)
    lines += [f"{case}, {_named(names)}: {note}" for (case, note), names in skipped.items()]
    return shortened([Text(line, style=STYLE[None]) for line in lines], LIMIT)


def _by_module(findings: Sequence[Finding]) -> list[str]:
    """Each module with the number of its findings."""
    found = Counter(module_of(f) or "(no module)" for f in findings)
    return [f"{module} ({n})" for module, n in found.items()]


def _named(names: Sequence[str]) -> str:
    """Names, each once; of very many the first."""
    each = list(dict.fromkeys(names))
    left = len(each) - MANY
    return ", ".join(each[:MANY]) + (f" and {left} more" if left > 0 else "")


def _unexercised(report: Report) -> Lines:
    """A line for each case whose data leaves something untested."""
    found = {run.case: run.unexercised for run in report.runs if run.unexercised}
    lines = [f"{case}, not exercised by this data: {'; '.join(s)}" for case, s in found.items()]
    return shortened([Text(line) for line in lines], LIMIT)


def _not_returned(report: Report) -> Lines:
    """Gradients that an implementation did not return, which are therefore unknown."""
    lacking = grouped(((run.adapter, run.missing), run.case) for run in report.runs if run.missing)
    lines = []
    for (adapter, missing), found in lacking.items():
        cases = [*dict.fromkeys(found)]
        where = cases[0] if len(cases) == 1 else f"{len(cases)} cases"
        said = f"{where}, {adapter}: not returned, so not compared: {', '.join(missing)}"
        lines.append(Text(said, style=STYLE[None]))
    return shortened(lines, LIMIT)


def _pairs(report: Report) -> Iterator[RenderableType]:
    """Implementations against each other: a line per pair and dtype, and what explains it."""
    pairs = grouped(((d.first, d.second, d.dtype), d) for d in report.differences)
    for (first, second, dtype), mine in pairs.items():
        agree = sum(d.parity is True for d in mine)
        same = [d for d in mine if not d.choices]
        parts = [f"{first} against {second}, {dtype}: parity in {agree} of {len(mine)} cases"]
        if same:
            most = max(same, key=lambda d: d.units)
            parts.append(f"final gradients differ by at most {most.units:.2g} u ({most.case})")
        if len(same) < len(mine):
            parts.append(f"{len(mine) - len(same)} took different subgradients or random slopes")
        yield Text("; ".join(parts))
        why = [Text(f"  {d.case}: {reason}") for d in mine for reason in d.why]
        yield from shortened(why, LIMIT, indent="  ")


def _conclusion(report: Report) -> RenderableType:
    """Counts of each verdict and, in the last line, the conclusion."""
    findings = [finding for _, finding in report.findings()]
    word = WORD[report.exit_code]
    style = STYLE[PARITY[report.exit_code]]
    if not findings:
        return Text(f"{word}  nothing was compared", style=style)
    count = {v: sum(f.verdict is v for f in findings) for v in Verdict}
    counts = ", ".join(f"{n} {v}" for v, n in count.items() if n)
    elements = sum(f.elements for f in findings)
    last = f"{word}  {len(findings)} quantities in {runs_of(report)}, {elements} elements"
    last += f"; {why}" if report.exit_code == 2 and (why := reasons(report)) else ""
    last += strictness(report)
    return Group(Text(counts), *_power(report), Text(last, style=style))


def _power(report: Report) -> Iterator[RenderableType]:
    """The detection power: a line per dtype.

    A parameter is moved by little, relative to its own rounding: a report of steps alone says so.
    """
    every = [(run.dtype, f) for run, f in report.findings() if f.power]
    others = [(dtype, f) for dtype, f in every if not f.quantity.is_update]
    powers = grouped((dtype, f.power) for dtype, f in others or every if f.power)
    for dtype, found in powers.items():
        most = Power.worst_of(found)
        size = f"{most.median:.1g}" if most.median else "any size"
        yield Text(
            f"{dtype}: a relative fault of {size} in one element would have been "
            f"seen in half of the elements of half of the tensors, one of {most.tensor:.1g} "
            f"in any whole tensor; {most.untested} elements are too small to be tested"
        )
