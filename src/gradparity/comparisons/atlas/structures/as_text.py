"""Results on structured inputs as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...findings.layout import Lines, grouped, spaced
from ...findings.unanswered import no_answers
from .departures import Departure, Structures

__all__ = ["structures_renderable"]

LEGEND = """\
A row is a function on one structure whose result is outside its rounding bound
("wrong"), or outside what the format allows a right implementation
("imprecise"), an exception where there is an answer ("refused"), or a choice
that the framework documents ("documented"). way: how the input, or the
gradient that arrives, was stored, or how it was run. The JSON has each row's
results with their inputs and reasons; results that are right are not listed."""


def structures_renderable(
    structures: Structures, versions: Mapping[str, Mapping[str, str]]
) -> RenderableType:
    """The departures for `rich`, those of all ways and formats in one row."""
    stamp = " · ".join(f"{k} {v}" for found in versions.values() for k, v in found.items())
    sections: list[Lines] = [[Text(stamp, style="dim")]]
    for adapter, found in grouped((one.adapter, one) for one in structures.departures).items():
        sections.append([_table(adapter, found)])
    if structures.unsupported:
        sections.append([Text(line) for line in ("no answer", *no_answers(structures.unsupported))])
    sections.append([Text(line) for line in LEGEND.splitlines()])
    counts = Counter(one.status for one in structures.departures)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    return spaced(
        sections, Text(f"{structures.cases} cases, {structures.results} results: {kinds}")
    )


KINDS = ("wrong", "imprecise", "refused", "documented")


def _table(title: str, departures: list[Departure]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None,
                  pad_edge=False, padding=(0, 1, 0, 0))  # fmt: skip
    for heading in ("", "structure", "result", "", "got", "true", "way"):
        table.add_column(Text(heading), overflow="fold")
    rows = grouped(
        ((one.function, one.structure, one.quantity, one.status), one) for one in departures
    )
    for (function, structure, quantity, status), found in rows.items():
        ways = grouped((one.way, one.dtype) for one in found)
        said = "; ".join(f"{way} {' '.join(dict.fromkeys(dtypes))}" for way, dtypes in ways.items())
        first = found[0]
        table.add_row(
            *map(Text, (function, structure, quantity, status, first.got, first.true, said))
        )
    return table
