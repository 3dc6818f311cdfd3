"""Changes as text and as JSON; each cause is told once."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..findings.finding import Finding
from ..findings.shown import printer
from ..findings.stored import plain
from .change_records import Change, Changes, Growth, Kind

__all__ = ["SCHEMA", "Told", "renderable", "text", "to_json", "told", "verdict_line"]

SCHEMA = "gradparity/changes/1"
WIDTH = 80
#: Causes told before the rest is counted, and places of one.
TOLD, PLACES = 20, 4
STYLE = {Kind.WORSE: "bold red", Kind.GONE: "bold red", Kind.BETTER: "green"}


@dataclass(frozen=True)
class Told:
    """A change and where else the same was found."""

    change: Change
    also: tuple[Change, ...]

    @property
    def title(self) -> str:
        """The subject: a quantity and its node, several of one op, runs, or networks."""
        c = self.change
        f = c.after or c.before
        if f is None:
            return self._title_of_runs()
        quantities = {other.quantity for other in self.also} - {c.quantity}
        if quantities:
            return f"{len(self.also) + 1} quantities of {_op(f)}"
        return f"{c.quantity} at node {f.node}" if f.node else c.quantity

    def _title_of_runs(self) -> str:
        c, n = self.change, len(self.also) + 1
        if n == 1:
            return f"{c.case}, {c.adapter} {c.dtype}" if c.adapter else c.case
        return f"{n} runs of {c.adapter}" if c.adapter else f"the networks of {n} cases"

    @property
    def rows(self) -> Iterator[tuple[str, str]]:
        """(label, text) of what is to be said."""
        c = self.change
        everywhere = (c, *self.also)
        several = len({other.quantity for other in everywhere}) > 1
        places = [
            _place(other) + (f": {other.quantity}" if several else "") for other in everywhere
        ]
        more = f"; and {len(places) - PLACES} more" if len(places) > PLACES else ""
        if c.quantity or self.also:
            yield "in", "; ".join(places[:PLACES]) + more
        for label, f in (("before", c.before), ("after", c.after)):
            if f is not None:
                yield label, _said(f)


def _op(f: Finding) -> str:
    """Its name, without its arguments."""
    return f.op.partition("(")[0] or "no op"


def _place(c: Change) -> str:
    return f"{c.case}, {c.adapter} {c.dtype}" if c.adapter else c.case


def _said(f: Finding) -> str:
    said = f"{f.verdict}"
    if f.elements:
        said += f", error {f.error:.3g} u, bound {f.bound:.3g} u"
    if f.outside:
        said += (
            f"; worst {list(f.index or ())}: got {f.got:.9g}, the formula gives {f.expected:.9g}"
        )
    if f.kinks:
        said += f"; takes {f.kinks.choice or 'nothing that is known'} at {f.kinks.count} kinks"
    return f"{said}; {f.note}" if f.note else said


def told(changes: Changes) -> list[Told]:
    """Every cause once: the same quantity of the same op, in several cases and dtypes.

    Where that is still too much to read, all quantities of ops of one name to which the same
    happened are one.
    """
    causes = _grouped(changes, lambda c, f: (c.quantity, f.node, f.op))
    return causes if len(causes) <= TOLD else _grouped(changes, lambda c, f: (_op(f),))


def _grouped(changes: Changes, place: Callable[[Change, Finding], Hashable]) -> list[Told]:
    found: dict[Hashable, list[Change]] = {}
    for c in changes.changes:
        f = c.after or c.before
        where = None if f is None else place(c, f)
        found.setdefault((c.kind, c.adapter, c.said, where), []).append(c)
    return [Told(first, tuple(rest)) for first, *rest in found.values()]


@printer(Changes, "text")
def text(changes: Changes) -> str:
    """Plain text, 80 columns wide; the conclusion is its last line."""
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    console.print(renderable(changes))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines())


def renderable(changes: Changes) -> RenderableType:
    """The renderables for `rich`."""
    parts: list[RenderableType] = [*_versions(changes)]
    causes = told(changes)
    for each in causes[:TOLD]:
        parts += [*_cause(each), Text()]
    if len(causes) > TOLD:
        parts += [Text(f"... and {len(causes) - TOLD} more (--json has all of them)"), Text()]
    if changes.bits:
        said = (
            f"{changes.bits} quantities are bitwise right in one of the two alone; both are right"
        )
        parts += [Text(said), Text()]
    if changes.growth:
        parts += [Text(_growth(changes.growth)), Text()]
    style = {0: "green", 1: "bold red", 2: "yellow"}[changes.exit_code]
    return Group(*parts, Text(verdict_line(changes), style=style))


def _versions(changes: Changes) -> Iterable[RenderableType]:
    for name, before, after in changes.versions:
        yield Text(f"{name} {before or 'was not there'} -> {after or 'is not there'}")
    if changes.versions:
        yield Text()


def _cause(each: Told) -> Iterable[RenderableType]:
    kind = each.change.kind
    yield Text(f"{kind.upper()}  {each.title}: {each.change.said}", style=STYLE.get(kind, "yellow"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=9)
    table.add_column(overflow="fold")
    for label, said in each.rows:
        table.add_row(Text(f"  {label}", style="dim"), Text(said))
    yield table


def _growth(g: Growth) -> str:
    return (
        f"Within its bound, the error of {g.quantity} grew most: from {100 * g.before:.0f}% to "
        f"{100 * g.after:.0f}% of it ({g.case}, {g.adapter} {g.dtype})"
    )


def verdict_line(changes: Changes) -> str:
    """The conclusion, in one line of 80 columns."""
    plural = "s" * (changes.runs != 1)
    compared = f"{changes.quantities} quantities in {changes.runs} run{plural}"
    if changes.exit_code == 2:
        if not changes.runs:
            return "UNKNOWN  the two reports have no run in common"
        return "UNKNOWN  no quantity was compared in both reports"
    if not changes:
        return f"NO CHANGE  {compared}"
    counts = Counter(c.kind for c in changes.changes)
    said = [f"{counts[kind]} {kind}" for kind in Kind if counts[kind]]
    line = f"CHANGED  {', '.join(said)}"
    for end in (f"; {compared}", ""):
        if len(line + end) <= WIDTH:
            return line + end
    while len(f"CHANGED  {', '.join(said)}, ...") > WIDTH:
        said.pop()
    return f"CHANGED  {', '.join(said)}, ..."


@printer(Changes, "json")
def to_json(changes: Changes) -> str:
    """JSON with a versioned schema; numbers that JSON has no literal for are strings."""
    document = {"schema": SCHEMA, "exit_code": changes.exit_code, **vars(changes)}
    return json.dumps(plain(document), allow_nan=False, indent=1)
