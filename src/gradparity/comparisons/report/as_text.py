"""A report as text: pure functions of the report."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..findings.finding import SUM, Finding, Power, Verdict
from ..findings.shown import printer
from .diagnosis import faults, rows
from .records import Run
from .report import Report

__all__ = ["renderable", "text"]

STYLE = {True: "green", False: "bold red", None: "yellow"}
WIDTH = 80
#: Implementations and dtypes side by side.
COLUMNS = 4
#: Differences told in full before the rest is only counted.
TOLD = 20
#: Different choices listed one by one before only their range is.
SEVERAL = 3


@printer(Report, "text")
def text(report: Report, detail: str = "auto") -> str:
    """Plain text, 80 columns wide."""
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    console.print(renderable(report, detail))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines())


def renderable(report: Report, detail: str = "auto") -> RenderableType:
    """The renderables for `rich`.

    `detail` is "all" (every case node by node), "none" (one row per case), or "auto": node by node
    where there are few cases, and for the digits.
    """
    parts: list[RenderableType] = [_header(report), Text()]
    cases = list(dict.fromkeys(run.case for run in report.runs))
    few = len(cases) <= 3
    shown = [
        c
        for c in cases
        if detail == "all" or (detail == "auto" and (few or c.startswith("digits")))
    ]
    for case in shown:
        mine = [run for run in report.runs if run.case == case]
        parts += [part for runs in _batches(mine) for part in (_nodes(runs), Text())]
    others = [c for c in cases if c not in shown]
    if others:
        columns = list(dict.fromkeys(run.column for run in report.runs))
        for some in _batches(columns):
            parts += [_summary(report, others, some), Text()]
    parts += _kinks(report)
    parts += _told(report)
    parts += _noted(report)
    parts += _vacuous(report)
    parts += _not_returned(report)
    parts += _pairs(report)
    parts.append(_conclusion(report))
    return Group(*parts)


def _header(report: Report) -> Text:
    e = dict(report.environment)
    said = [f"gradparity {e.pop('gradparity', '')}", *(f"{k} {v}" for k, v in e.items())]
    skipped = [f"{name}: {why}" for name, why in report.skipped.items()]
    return Text(" · ".join([*said, *skipped]), style="dim")


def _batches(columns: list[Any]) -> list[list[Any]]:
    """As many side by side as 80 columns of text hold."""
    return [columns[i : i + COLUMNS] for i in range(0, len(columns), COLUMNS)]


def _nodes(runs: list[Run]) -> Table:
    """One case: a row per quantity, a column per implementation and dtype."""
    about = f": {runs[0].about}" if runs[0].about else ""
    table = _table(f"{runs[0].case}{about}", "error/bound in u", runs)
    found = [{f.quantity: f for f in run.findings} for run in runs]
    for quantity in dict.fromkeys(q for quantities in found for q in quantities):
        row = [quantities.get(quantity) for quantities in found]
        # A value used once has its use's gradient; the row would only repeat the one above.
        if any(f and (f.op != SUM or f.verdict is not Verdict.EXACT) for f in row):
            table.add_row(Text(quantity.replace(" -> ", "→")), *map(_cell, row))
    return table


def _summary(report: Report, cases: list[str], columns: list[str]) -> Table:
    """Many cases: a row each, with the worst verdict and the largest share of a bound used."""
    runs = {(run.case, run.column): run for run in report.runs if run.case in cases}
    first = [next(run for run in report.runs if run.column == column) for column in columns]
    table = _table("worst verdict of each case", "and share of the bound used", first)
    for case in cases:
        cells = []
        for column in columns:
            run = runs.get((case, column))
            if run is None:
                cells.append(Text("-"))
                continue
            share = f" {100 * run.nearest:.0f}%" if run.verdict is Verdict.ROUNDING else ""
            cells.append(_colour(run.verdict, f"{run.verdict}{share}"))
        table.add_row(Text(case), *cells)
    return table


def _table(title: str, legend: str, runs: list[Run]) -> Table:
    table = Table(
        title=Text(f"{title}  ({legend})"), title_justify="left", title_style="bold", box=None,
        pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("", overflow="fold")
    for run in runs:
        table.add_column(Text(f"{run.adapter} {_short(run.dtype)}"), overflow="fold")
    return table


def _short(dtype: str) -> str:
    return dtype.replace("bfloat", "bf").replace("float", "f")


def _cell(finding: Finding | None) -> Text:
    if finding is None:  # this implementation did not give it
        return Text("-")
    said = str(finding.verdict)
    if finding.verdict in (Verdict.ROUNDING, Verdict.MISMATCH):
        said += f" {_number(finding.error)}/{_number(finding.bound)}"
    return Text(said, style=STYLE[finding.parity])


def _number(x: float) -> str:
    """At most four characters, so that four columns fit."""
    if x < 9.95:
        return f"{x:.1f}".removeprefix("0")
    return f"{x:.0f}" if x < 9999.5 else f"{x:.0e}".replace("+0", "")


def _colour(verdict: Verdict, said: str) -> Text:
    return Text(said, style=STYLE[verdict.parity])


def _kinks(report: Report) -> Iterable[RenderableType]:
    """The element of the subdifferential that each took: a line per place, grouped by choice."""
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    for run, finding in report.findings():
        if finding.kinks is None:
            continue
        k = finding.kinks
        place = (f"{run.case}, {finding.quantity}", f"network: {k.reference}, valid: {k.valid}")
        took = " and ".join(f"{what} ({n}x)" for what, n in k.taken.items()) or "undetermined"
        if len(k.taken) > SEVERAL:
            took = f"{len(k.taken)} values from {min(k.taken)} to {max(k.taken)}"
        places.setdefault(place, {}).setdefault(took, []).append(run.column)
    if not places:
        return
    yield Text("exactly at a kink: what each took there", style="bold")
    columns = len({run.column for run in report.runs})
    for (where, said), choices in places.items():
        told = (
            f"{took}: {'all' if len(who) == columns else ', '.join(who).replace('float', 'f')}"
            for took, who in choices.items()
        )
        yield Text(f"{where}: {'; '.join(told)} [{said}]")
    yield Text()


def _told(report: Report) -> Iterable[RenderableType]:
    """Each fault once, the worst first, whatever else it is found in."""
    found = faults(report)
    for wrong in found[:TOLD]:
        f = wrong.finding
        place = f" at node {f.node}, {f.op}" if f.op else f" at {f.node}" if f.node else ""
        yield Text(f"{f.quantity}{place}", style="bold")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column(width=9)
        table.add_column(overflow="fold")
        for label, said in rows(wrong):
            style = STYLE[f.parity] if label == "verdict" else ""
            table.add_row(Text(f"  {label}", style="dim"), Text(said, style=style))
        yield table
        yield Text()
    if len(found) > TOLD:
        yield Text(f"... and {len(found) - TOLD} more (all of them in the JSON report)")
        yield Text()


def _noted(report: Report) -> Iterable[RenderableType]:
    """Right quantities with a remark: expected conventions, unusual orders."""
    noted: dict[tuple[str, ...], list[tuple[Run, Finding]]] = {}
    for run, f in report.findings():
        if f.parity is True and f.note:
            key = (run.adapter, f.quantity, str(f.verdict), f.convention)
            noted.setdefault(key, []).append((run, f))
    for (adapter, quantity, verdict, name), those in list(noted.items())[:TOLD]:
        run, f = those[0]
        more = f" (and {len(those) - 1} more)" if len(those) > 1 else ""
        expected = " (expected)" if f.declared else ""
        what = f"{verdict} {name}".strip()
        yield Text(
            f"{run.case}, {adapter} {run.dtype}, {quantity}: {what}{expected}{more}; {f.note}"
        )
    if len(noted) > TOLD:
        yield Text(f"... and {len(noted) - TOLD} more (all of them in the JSON report)")
    if noted:
        yield Text()


def _vacuous(report: Report) -> Iterable[RenderableType]:
    """Untested gradients: those that are zero, or below their own bound."""
    silent: dict[str, list[str]] = {}
    for run, finding in report.findings():
        if finding.verdict is Verdict.VACUOUS:
            quantities = silent.setdefault(run.case, [])
            if finding.quantity not in quantities:
                quantities.append(finding.quantity)
    for case, quantities in list(silent.items())[:TOLD]:
        yield Text(
            f"{case}, not tested (zero, or below its own bound): {', '.join(quantities)}",
            style=STYLE[None],
        )
    if silent:
        yield Text()


def _not_returned(report: Report) -> Iterable[RenderableType]:
    """The gradients that somebody did not return: nothing is known of them."""
    lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for run in report.runs:
        if run.missing:
            cases = lacking.setdefault((run.adapter, run.missing), [])
            cases += [] if run.case in cases else [run.case]
    for (adapter, missing), cases in list(lacking.items())[:TOLD]:
        where = cases[0] if len(cases) == 1 else f"{len(cases)} cases"
        yield Text(
            f"{where}, {adapter}: not returned, so not compared: {', '.join(missing)}",
            style=STYLE[None],
        )
    if lacking:
        yield Text()


def _pairs(report: Report) -> Iterable[RenderableType]:
    pairs = dict.fromkeys((d.first, d.second, d.dtype) for d in report.differences)
    for first, second, dtype in pairs:
        mine = [
            d for d in report.differences if (d.first, d.second, d.dtype) == (first, second, dtype)
        ]
        agree = sum(d.parity is True for d in mine)
        same = [d for d in mine if not d.choices]
        said = [f"{first} against {second}, {dtype}: parity in {agree} of {len(mine)} cases"]
        if same:
            most = max(same, key=lambda d: d.units)
            said.append(f"final gradients differ by at most {most.units:.2g} u ({most.case})")
        if len(same) < len(mine):
            said.append(f"{len(mine) - len(same)} took different subgradients or random slopes")
        yield Text("; ".join(said))
        why = [f"  {d.case}: {said}" for d in mine for said in d.why]
        yield from map(Text, why[:TOLD])
        if len(why) > TOLD:
            yield Text(f"  ... and {len(why) - TOLD} more (all of them in the JSON report)")
    if pairs:
        yield Text()


def _conclusion(report: Report) -> RenderableType:
    """How often each verdict fell, and in one last line what follows."""
    findings = [finding for _, finding in report.findings()]
    word = {0: "PARITY", 1: "NO PARITY", 2: "UNKNOWN"}[report.exit_code]
    style = STYLE[{0: True, 1: False, 2: None}[report.exit_code]]
    if not findings:
        return Text(f"{word}  nothing was compared", style=style)
    count = {v: sum(f.verdict is v for f in findings) for v in Verdict}
    said = ", ".join(f"{n} {v}" for v, n in count.items() if n)
    elements = sum(f.elements for f in findings)
    last = f"{word}  {len(findings)} quantities in {len(report.runs)} runs, {elements} elements"
    return Group(Text(said), *_power(report), Text(last, style=style))


def _power(report: Report) -> Iterable[RenderableType]:
    """The detection power: a line per dtype."""
    for dtype in dict.fromkeys(run.dtype for run in report.runs):
        powers = [f.power for run, f in report.findings() if run.dtype == dtype and f.power]
        if powers:
            most = Power.worst_of(powers)
            yield Text(
                f"{dtype}: a relative fault of {most.median:.1g} in one element would have been "
                f"seen in half of the elements of half of the tensors, one of {most.tensor:.1g} "
                f"in any whole tensor; {most.untested} elements are below their own bound"
            )
