"""Changes as text and as JSON; changes with one cause are merged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from ..findings.finding import Finding
from ..findings.layout import WIDTH, Lines, grouped, labelled, plain_text, shortened, spaced
from ..findings.shown import printer
from ..findings.stored import plain
from .change_records import Change, Changes, Growth, Kind

__all__ = ["LIMIT", "SCHEMA", "Told", "renderable", "text", "to_json", "told", "verdict_line"]

SCHEMA = "gradparity/changes/1"
#: Maximum number of causes, and of places of one cause, before the rest is only counted.
LIMIT, PLACES = 20, 4
STYLE = {Kind.WORSE: "bold red", Kind.GONE: "bold red", Kind.BETTER: "green"}


@dataclass(frozen=True)
class Told:
    """A change, and the same change in other places."""

    change: Change
    also: tuple[Change, ...]

    @property
    def title(self) -> str:
        """The subject: a quantity and its node, quantities of one op, runs, or networks."""
        c = self.change
        f = c.after or c.before
        if f is None:
            n = len(self.also) + 1
            if n == 1:
                return _place(c)
            return f"{n} runs of {c.adapter}" if c.adapter else f"the networks of {n} cases"
        if any(other.quantity != c.quantity for other in self.also):
            return f"{len(self.also) + 1} quantities of {_op(f)}"
        return f"{c.quantity} {f.place}" if f.node else c.quantity

    @property
    def rows(self) -> Iterator[tuple[str, str]]:
        """(label, text) of each fact."""
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
                yield label, _described(f)


def _op(f: Finding) -> str:
    """The name of an op, without its arguments."""
    return f.op.partition("(")[0] or "no op"


def _place(c: Change) -> str:
    return f"{c.case}, {c.adapter} {c.dtype}" if c.adapter else c.case


def _described(f: Finding) -> str:
    size = f", error {f.error:.3g} u, bound {f.bound:.3g} u" if f.elements else ""
    parts = [f"{f.verdict}{size}"]
    if f.outside:
        worst = f"worst {list(f.index or ())}: got {f.got:.9g}"
        parts.append(f"{worst}, the formula gives {f.expected:.9g}")
    if f.kinks:
        choice = f.kinks.choice or "an unknown subgradient"
        parts.append(f"takes {choice} at {f.kinks.count} kinks")
    return "; ".join([*parts, f.note] if f.note else parts)


def told(changes: Changes) -> list[Told]:
    """List each cause once: the same change of one quantity of one op, in several cases and dtypes.

    If these are still too many to read, the same changes of all ops with one name are merged.
    """
    causes = _merged(changes, lambda c, f: (c.quantity, f.node, f.op))
    return causes if len(causes) <= LIMIT else _merged(changes, lambda c, f: (_op(f),))


def _merged(changes: Changes, place: Callable[[Change, Finding], Hashable]) -> list[Told]:
    def key(c: Change) -> Hashable:
        f = c.after or c.before
        return c.kind, c.adapter, c.said, None if f is None else place(c, f)

    found = grouped((key(c), c) for c in changes.changes)
    return [Told(first, tuple(rest)) for first, *rest in found.values()]


@printer(Changes, "text")
def text(changes: Changes) -> str:
    """Plain text, 80 columns wide; the conclusion is its last line."""
    return plain_text(renderable(changes))


def renderable(changes: Changes) -> RenderableType:
    """The changes for `rich`."""
    versions: Lines = [
        Text(f"{name} {before or 'absent'} -> {after or 'absent'}")
        for name, before, after in changes.versions
    ]
    causes = [_cause(each) for each in told(changes)]
    notes = []
    if changes.bits:
        notes.append(
            f"{changes.bits} quantities are bitwise right in one of the two alone; both are right"
        )
    if changes.growth:
        notes.append(_growth(changes.growth))
    style = {0: "green", 1: "bold red", 2: "yellow"}[changes.exit_code]
    sections = [[part] for part in (*shortened(causes, LIMIT), *map(Text, notes))]
    return spaced([versions, *sections], Text(verdict_line(changes), style=style))


def _cause(each: Told) -> RenderableType:
    kind = each.change.kind
    title = f"{kind.upper()}  {each.title}: {each.change.said}"
    return Group(Text(title, style=STYLE.get(kind, "yellow")), labelled(each.rows))


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
    """JSON with a versioned schema; infinities and NaN are strings."""
    document = {"schema": SCHEMA, "exit_code": changes.exit_code, **vars(changes)}
    return json.dumps(plain(document), allow_nan=False, indent=1)
