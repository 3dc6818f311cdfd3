"""What changed, as text and as JSON; each cause told once, wherever it struck."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .changes import Change, Changes, Kind
from .finding import Finding
from .stored import finite

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
        """What it is of: a quantity and its node, a run, or a network."""
        c = self.change
        f = c.after or c.before
        if not c.quantity or f is None:
            return c.case if not c.adapter else f"{c.case}, {c.adapter} {c.dtype}"
        return f"{c.quantity} at node {f.node}" if f.node else c.quantity

    @property
    def rows(self) -> Iterator[tuple[str, str]]:
        """(label, text) of what is to be said."""
        c = self.change
        places = [_place(other) for other in (c, *self.also)]
        more = f"; and {len(places) - PLACES} more" if len(places) > PLACES else ""
        if c.adapter:
            yield "in", "; ".join(places[:PLACES]) + more
        for label, f in (("before", c.before), ("after", c.after)):
            if f is not None:
                yield label, _said(f)


def _place(c: Change) -> str:
    return f"{c.case}, {c.adapter} {c.dtype}"


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
    """Every cause once: the same quantity of the same op, in several cases and dtypes."""
    found: dict[tuple[object, ...], list[Change]] = {}
    for c in changes.changes:
        f = c.after or c.before
        place = (f.node, f.op) if f is not None else (c.case, c.dtype)
        found.setdefault((c.kind, c.adapter, c.quantity, place, c.said), []).append(c)
    return [Told(first, tuple(rest)) for first, *rest in found.values()]


def text(changes: Changes) -> str:
    """Plain text, 80 columns wide; the conclusion is its last line."""
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    console.print(renderable(changes))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines())


def renderable(changes: Changes) -> RenderableType:
    """What `rich` prints."""
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


def verdict_line(changes: Changes) -> str:
    """What follows, in one line."""
    plural = "s" * (changes.runs != 1)
    compared = f"{changes.quantities} quantities in {changes.runs} run{plural}"
    if not changes.runs:
        return "UNKNOWN  the two reports have no run in common"
    if not changes:
        return f"NO CHANGE  {compared}"
    counts = {kind: sum(c.kind is kind for c in changes.changes) for kind in Kind}
    return f"CHANGED  {', '.join(f'{n} {kind}' for kind, n in counts.items() if n)}; {compared}"


def to_json(changes: Changes) -> str:
    """JSON with a versioned schema; numbers that JSON has no literal for are strings."""
    document = {"schema": SCHEMA, "exit_code": changes.exit_code, **asdict(changes)}
    return json.dumps(finite(document), allow_nan=False, indent=1)
