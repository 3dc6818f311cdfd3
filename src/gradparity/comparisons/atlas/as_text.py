"""The atlas as text, 80 columns: pure functions of it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .stored import Atlas, Change, Entry, point_name

__all__ = ["changes_text", "renderable", "text"]

WIDTH = 80
LEGEND = """\
A number is the slope taken at the kink, a word the rule at a tie: all of the
gradient to the first or the last of the tied, even shares, or mixed weights.
valid: between the slopes measured just beside the kink; "smooth" where they are
equal; "jump" where the value jumps and "no slope" where one side has none, so
that nothing is valid or wrong; "simplex": weights >= 0 that sum to one.
Where modes, dtypes or signs of zero differ, a row shows what most of them take."""

Rows = dict[tuple[str, str], list[Entry]]


def text(atlas: Atlas) -> str:
    """Plain text, 80 columns wide."""
    return _plain(renderable(atlas))


def changes_text(changes: Sequence[Change], before: Atlas, after: Atlas) -> str:
    """Changes between two atlases, and the versions; a line each."""
    lines = []
    for name, found in before.versions.items():
        now = after.versions.get(name, {})
        for part, version in found.items():
            lines.append(f"{part} {version}" + f" -> {now.get(part)}" * (now.get(part) != version))
    lines += [str(change) for change in changes]
    wrong = sum(c.after is not None and c.after.valid is False for c in changes)
    said = f"{len(changes)} of {len(after.entries)} entries changed" if changes else "NO CHANGE"
    return "\n".join([*lines, said + (f", {wrong} of them to outside" if wrong else "")])


def renderable(atlas: Atlas) -> RenderableType:
    """The renderables for `rich`: the core's ops side by side, then each adapter's functions."""
    adapters = [*atlas.versions]
    stamp = [f"{k} {v}" for found in atlas.versions.values() for k, v in found.items()]
    parts: list[RenderableType] = [Text(" · ".join([*stamp, atlas.machine]), style="dim"), Text()]
    core = [e for e in atlas.entries if e.core]
    parts += [_table("ops of the core", core, adapters), Text()]
    for name in adapters:
        own = [e for e in atlas.entries if not e.core and e.adapter == name]
        if own:
            parts += [_table(f"{name}: its own spellings", own, [name]), Text()]
    for name in adapters:
        parts += [Text(_subnormals(name, [e for e in atlas.entries if e.adapter == name])), Text()]
    outside = sum(e.valid is False for e in atlas.entries)
    unsupported = sum(bool(e.note) for e in atlas.entries)
    said = f"{len(atlas.entries)} entries, {outside} outside the subdifferential"
    parts += [Text(LEGEND), Text(), Text(f"{said}, {unsupported} unsupported")]
    return Group(*parts)


def _plain(what: RenderableType) -> str:
    console = Console(
        file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False
    )
    console.print(what)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines())


def _table(title: str, entries: Sequence[Entry], adapters: Sequence[str]) -> Group:
    """A row for every function and kink, a column for every adapter; below, what else was taken."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None,
                  pad_edge=False, padding=(0, 2, 0, 0))  # fmt: skip
    for heading in ("", "at", "valid", *adapters):
        table.add_column(Text(heading), overflow="fold")
    notes: list[str] = []
    for (spelling, where), found in _rows(entries).items():
        cells = []
        for name in adapters:
            mine = [e for e in found if e.adapter == name]
            usual = _majority(mine)
            cells.append(Text(usual, style="bold red" if "OUTSIDE" in usual else ""))
            for said in _deviations(mine, usual):
                notes.append(f"  {name}, {spelling} at {where}: {said}, elsewhere {usual}")
        table.add_row(Text(spelling), Text(where), Text(_valid(found)), *cells)
    if not notes:
        return Group(table)
    return Group(table, Text(), Text("modes that differ", style="bold"), *map(Text, notes))


def _rows(entries: Iterable[Entry]) -> Rows:
    """By function and kink; ties that are broken by one rule, wherever, are one row."""
    rows: Rows = {}
    rules: dict[str, set[str]] = {}
    for e in entries:
        if _ties(e):
            rules.setdefault(e.spelling, set()).add(e.rule)
    for e in entries:
        if not _subnormal(e):
            where = "ties" if _ties(e) else f"{e.point[0] + 0.0:g}"  # -0 beside 0
            if _ties(e) and "mixed" in rules[e.spelling]:
                where = point_name(e.point)
            rows.setdefault((e.spelling, where), []).append(e)
    return rows


def _ties(entry: Entry) -> bool:
    return len(entry.point) > 1


def _subnormal(entry: Entry) -> bool:
    return 0 < abs(entry.point[0]) < 1e-30


def _said(entry: Entry) -> str:
    """For a tie the rule alone, unless it has no name."""
    if entry.note or not _ties(entry):
        return entry.said
    if entry.rule in ("mixed", "outside"):
        weights = " ".join(f"{t:.3g}" for t in entry.taken)
        return weights + (" OUTSIDE" if entry.valid is False else "")
    return entry.rule + (" OUTSIDE" if entry.valid is False else "")


def _majority(entries: Sequence[Entry]) -> str:
    return Counter(map(_said, entries)).most_common(1)[0][0] if entries else "-"


def _deviations(entries: Sequence[Entry], usual: str) -> list[str]:
    """One for every other value, and where it was taken."""
    others: dict[str, list[Entry]] = {}
    for e in entries:
        if _said(e) != usual:
            others.setdefault(e.note or _said(e), []).append(e)
    return [f"{said} in {', '.join(_where(found, entries))}" for said, found in others.items()]


#: How a measurement is told, the most general first.
WORDS: tuple[Callable[[Entry], str], ...] = (
    lambda e: f"all modes at {point_name(e.point)}",
    lambda e: e.mode,
    lambda e: f"{e.mode} {e.dtype}",
    lambda e: f"{e.mode} {e.dtype} at {point_name(e.point)}",
)


def _where(found: Sequence[Entry], entries: Sequence[Entry]) -> list[str]:
    """Summarise changes: by whole point, whole mode, or single measurement."""
    rest, words = list(found), list[str]()
    for says in WORDS:
        for word in dict.fromkeys(map(says, rest)):
            these = [e for e in entries if says(e) == word]
            if all(e in rest for e in these):
                words.append(word)
                rest = [e for e in rest if e not in these]
    return words


def _valid(entries: Sequence[Entry]) -> str:
    first = next((e for e in entries if not e.note), None)
    if first is None:
        return "?"
    if first.rule in ("smooth", "jump", "singular"):
        return "no slope" if first.rule == "singular" else first.rule
    if first.interval is None:
        return "simplex"
    return "[{:.3g}, {:.3g}]".format(*(x + 0.0 for x in first.interval))


def _subnormals(name: str, entries: Sequence[Entry]) -> str:
    """Whether numbers too small to be normal count as zero: by the slopes taken there."""
    known = {e.key: e.said for e in entries}
    places: dict[tuple[str, ...], list[Entry]] = {}
    for e in entries:
        if _subnormal(e) and e.rule not in ("smooth", "jump", "singular", ""):
            places.setdefault((*e.key[:3], "0", *e.key[4:]), []).append(e)
    as_zero = {key for key, both in places.items() if all(e.said == known[key] for e in both)}
    if not places:
        return f"{name}: nothing was asked at subnormal numbers"
    who = f"{name}, at subnormal numbers of both signs:"
    if len(as_zero) in (0, len(places)):
        what = "what it takes at 0" if as_zero else "the slopes of their sides"
        return f"{who} {what}, in all {len(places)} measurements."
    few_zero = 2 * len(as_zero) < len(places)
    few = as_zero if few_zero else set(places) - as_zero
    listed: dict[str, list[str]] = {}
    for _, _, spelling, _, mode, dtype in (key for key in places if key in few):
        listed.setdefault(spelling, []).append(f"{mode} {dtype}")
    told = "; ".join(f"{spelling} ({', '.join(modes)})" for spelling, modes in listed.items())
    usual = "the slopes of their sides" if few_zero else "what it takes at 0"
    n = len(places) - len(few)
    return f"{who} {usual}, in {n} of {len(places)} measurements; not {told}."
