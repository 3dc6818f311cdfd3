"""Layout that every text report shares: 80 plain columns, labelled rows, shortened lists."""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["WIDTH", "Lines", "grouped", "labelled", "plain_text", "shortened", "spaced"]

WIDTH = 80

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Lines = list[RenderableType]


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Collect the values of each key, in order of first appearance.

    >>> grouped([("a", 1), ("b", 2), ("a", 3)])
    {'a': [1, 3], 'b': [2]}
    """
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def plain_text(what: RenderableType) -> str:
    """Render without colour, 80 columns wide."""
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    with console.capture() as written:
        console.print(what)
    return "\n".join(line.rstrip() for line in written.get().splitlines())


def labelled(rows: Iterable[tuple[str, str]], **styles: str) -> Table:
    """A table of (label, text); `styles` are by label."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(min_width=9, no_wrap=True)
    table.add_column(overflow="fold")
    for label, said in rows:
        table.add_row(Text(f"  {label}", style="dim"), Text(said, style=styles.get(label, "")))
    return table


def shortened(lines: Sequence[RenderableType], limit: int, indent: str = "") -> Lines:
    """The first `limit` lines, and the number of those left out."""
    left = len(lines) - limit
    more = f"{indent}... and {left} more (all of them in the JSON report)"
    return [*lines[:limit], *([Text(more)] if left > 0 else [])]


def spaced(sections: Iterable[Lines], end: RenderableType) -> Group:
    """Sections with an empty line after each; empty sections are left out."""
    parts = [part for lines in sections if lines for part in (*lines, Text())]
    return Group(*parts, end)
