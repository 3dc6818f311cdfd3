"""Smooth regions as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...findings.layout import Lines, grouped, spaced
from ...findings.unanswered import no_answers
from .points import FORMATS
from .regions import Region, Smooth

__all__ = ["smooth_renderable"]

HEADINGS = {"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}
LEGEND = """\
f64, f32, bf16, f16: decimal digits lost at the worst of the numbers that
most users meet; of 16.0, 7.2, 2.4 and 3.3 that the format has. "inf": the
result is infinite or NaN and the true one is not, or the reverse; "." where
few digits are lost. at: the worst number of the first of these formats, with
the result and the true result there. A row is of numbers of one sign. Rows are
sorted by how many users meet the numbers (common: |x| < 10, seen: |x| < 100,
rare), then by digits. The JSON has each region with its ends and the modes in
which digits are lost, and regions that are not shown: those where the number's
own last place moves the true result as far, as at a root."""


def smooth_renderable(
    smooth: Smooth, versions: Mapping[str, Mapping[str, str]], chosen: bool = False
) -> RenderableType:
    """The regions for `rich`, most users first; those of all formats are one row.

    `chosen` : only functions that were chosen by name were measured, so others are not listed.
    """
    stamp = " · ".join(f"{k} {v}" for found in versions.values() for k, v in found.items())
    shown = [region for region in smooth.regions if not region.ill]
    sections: list[Lines] = [[Text(stamp, style="dim")]]
    for (users, adapter), regions in grouped(((r.users, r.adapter), r) for r in shown).items():
        sections.append([_table(f"{adapter}, {users}", regions)])
    for name, functions in smooth.uncovered.items():
        if functions and not chosen:
            sections.append([Text(f"{name}: no formula for {', '.join(functions)}")])
    for name, libraries in () if chosen else smooth.missing.items():
        sections.append([Text(f"{name}: not installed: {', '.join(libraries)}")])
    if smooth.unsupported:
        sections.append([Text(line) for line in ("no answer", *no_answers(smooth.unsupported))])
    sections.append([Text(line) for line in LEGEND.splitlines()])
    counts = f"{smooth.functions} function{'s' * (smooth.functions != 1)}"
    counts += f", {smooth.results} results, {len(shown)} region{'s' * (len(shown) != 1)}"
    hidden = len(smooth.regions) - len(shown)
    end = f"{counts}, {hidden} ill-conditioned, {len(smooth.unsupported)} without an answer"
    return spaced(sections, Text(end))


def _table(title: str, regions: Sequence[Region]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None,
                  pad_edge=False, padding=(0, 1, 0, 0))  # fmt: skip
    for heading in ("", "", *HEADINGS.values(), "at", "got", "true"):
        table.add_column(Text(heading), overflow="fold")
    rows = grouped(((r.spelling, r.quantity, math.copysign(1, r.at)), r) for r in regions)
    for (spelling, quantity, _), found in rows.items():
        worst = {r.dtype: r for r in reversed(found)}
        first = next(worst[dtype] for dtype in FORMATS if dtype in worst)
        lost = (_lost(worst.get(dtype)) for dtype in FORMATS)
        numbers = (f"{x + 0.0:.3g}" for x in (first.at, first.got, first.true))
        table.add_row(Text(spelling), quantity.replace("derivative", "slope"), *lost, *numbers)
    return table


def _lost(region: Region | None) -> str:
    if region is None:
        return "."
    return "inf" if math.isinf(region.lost) else f"{region.lost:.1f}"
