"""The atlas as text: pure functions of the atlas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..findings.layout import Lines, grouped, plain_text, spaced
from .compared import Comparison, FunctionChange
from .smooth.as_text import smooth_renderable
from .smooth.regions import RegionChange
from .stored import Atlas, Change, Entry, point_name
from .structures.as_text import structures_renderable
from .structures.departures import DepartureChange

__all__ = ["changes_text", "kink_rows", "renderable", "text"]

LEGEND = """\
A number is the slope taken at the kink, a word the rule at a tie: all of the
gradient to the first or the last of the tied, even shares, or mixed weights.
valid: between the slopes measured just beside the kink; "smooth" where they are
equal; "jump" where the value jumps and "no slope" where one side has none, so
that nothing is valid or wrong; "simplex": weights >= 0 that sum to one. At
singular points: the limits of the slopes beside them, numbers or intervals for
each element, one for all if equal ("sum": of the elements);
"ball q": gradients whose norm of order q is at most 1 or r; "any": not judged.
Where modes, dtypes or signs of zero differ, a row shows what most of them take."""

Rows = dict[tuple[str, str], list[Entry]]


def text(atlas: Atlas) -> str:
    """Plain text, 80 columns wide."""
    return plain_text(renderable(atlas))


def changes_text(found: Comparison, before: Atlas, after: Atlas) -> str:
    """The versions, what was not compared, and the changes between two atlases, a line each."""
    lines, changes = list[str](), found.changes
    for name, found_before in before.versions.items():
        now = after.versions.get(name, {})
        for part, version in found_before.items():
            new = now.get(part, "not measured")
            lines.append(f"{part} {version}" + f" -> {new}" * (new != version))
        lines += [f"{part} {new}, not measured before" for part, new in now.items()
                  if part not in found_before]  # fmt: skip
    lines += [*found.notes, *map(str, changes)]
    wrong = sum(
        isinstance(c, Change) and c.after is not None and c.after.valid is False for c in changes
    )
    kinds = Counter(KINDS[type(change)] for change in changes)
    counted = ", ".join(
        f"{kinds[kind]} of {n} {kind}"
        for kind in KINDS.values()
        if (n := found.counts.get(kind, 0))
    )
    said = f"{counted} changed" if changes else "NO CHANGE"
    return "\n".join([*lines, said + (f", {wrong} of them to outside" if wrong else "")])


KINDS = {Change: "entries", RegionChange: "regions", DepartureChange: "results",
         FunctionChange: "functions"}  # fmt: skip


def _of_kinks(atlas: Atlas) -> bool:
    return atlas.option in ("", "--all")


def renderable(atlas: Atlas) -> RenderableType:
    """The atlas for `rich`: what was measured of kinks, smooth regions and structures."""
    smooth, structures, chosen = atlas.smooth, atlas.structures, bool(atlas.names)
    shown: list[RenderableType] = []
    if _of_kinks(atlas) and (atlas.entries or not chosen):
        shown.append(_kinks(atlas))
    if smooth is not None and (smooth.functions or not chosen):
        shown.append(smooth_renderable(smooth, atlas.versions, chosen))
    if structures is not None and (structures.measured or structures.cases or not chosen):
        shown.append(structures_renderable(structures, atlas.versions))
    return shown[0] if len(shown) == 1 else Group(*shown)


def _kinks(atlas: Atlas) -> RenderableType:
    """The core's ops side by side, then each adapter's own functions."""
    adapters = [*atlas.versions]
    stamp = [f"{k} {v}" for found in atlas.versions.values() for k, v in found.items()]
    core = [e for e in atlas.entries if e.core]
    own = {
        name: [e for e in atlas.entries if not e.core and e.adapter == name] for name in adapters
    }
    subnormals = (
        _subnormals(name, [e for e in atlas.entries if e.adapter == name]) for name in adapters
    )
    sections: list[Lines] = [
        [Text(" · ".join([*stamp, atlas.machine]), style="dim")],
    ]
    if core or not atlas.names:
        sections.append([_table("ops of the core", core, adapters)])
    for name in adapters:
        if own[name]:
            sections.append([_table(f"{name}: its own functions", own[name], [name])])
    sections += [[Text(line)] for line in ((LEGEND,) if atlas.names else (*subnormals, LEGEND))]
    if lost := [*_no_answer(atlas.entries)]:
        sections.append([Text(line) for line in ("no answer", *lost)])
    outside = sum(e.valid is False for e in atlas.entries)
    unsupported = sum(bool(e.note) for e in atlas.entries)
    points = len(
        {(*e.key[:3], point_name(tuple(p + 0.0 for p in e.point)))
         for e in atlas.entries if not _subnormal(e)}
    )  # fmt: skip
    counts = f"{points} points, {len(atlas.entries)} entries, {outside} outside the subdifferential"
    return spaced(sections, Text(f"{counts}, {unsupported} unsupported"))


def _no_answer(entries: Sequence[Entry]) -> Iterator[str]:
    """The functions of each reason for which there is no answer."""
    lost = grouped(((e.adapter, e.note.partition(": ")[2]), e.spelling) for e in entries if e.note)
    for (adapter, why), functions in lost.items():
        yield f"  {adapter}: {', '.join(dict.fromkeys(functions))}: {why}"


def kink_rows(entries: Sequence[Entry]) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """The function, the kink, what is valid there, and what most modes of each adapter take."""
    for (spelling, where), found in _rows(entries).items():
        taken = {
            name: _majority(mine) for name, mine in grouped((e.adapter, e) for e in found).items()
        }
        yield spelling, where, _valid(found), taken


def _table(title: str, entries: Sequence[Entry], adapters: Sequence[str]) -> Group:
    """A row per function and kink, a column per adapter; below, the entries that deviate."""
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
            others = grouped((e.note or _said(e), e) for e in mine if _said(e) != usual)
            for said, those in others.items():
                modes = ", ".join(_where(those, mine))
                notes.append(
                    f"  {name}, {spelling} at {where}: {said} in {modes}, elsewhere {usual}"
                )
        table.add_row(Text(spelling), Text(where), Text(_valid(found)), *cells)
    if not notes:
        return Group(table)
    return Group(table, Text(), Text("modes that differ", style="bold"), *map(Text, notes))


def _rows(entries: Iterable[Entry]) -> Rows:
    """Entries by function and kink; all ties of a function are one row, unless a rule is mixed."""
    entries = list(entries)
    mixed = {e.spelling for e in entries if _ties(e) and e.rule == "mixed"}

    def where(e: Entry) -> str:
        if not _ties(e):
            return point_name(tuple(p + 0.0 for p in e.point))  # -0 is in the row of 0
        return point_name(e.point) if e.spelling in mixed else "ties"

    return grouped(((e.spelling, where(e)), e) for e in entries if not _subnormal(e))


def _ties(entry: Entry) -> bool:
    return len(entry.point) > 1 and entry.valid_set is None


def _subnormal(entry: Entry) -> bool:
    return 0 < abs(entry.point[0]) < 1e-30


def _said(entry: Entry) -> str:
    """The value of an entry; for ties, the rule alone if it has a name."""
    if entry.note or not _ties(entry):
        return entry.said
    unnamed = entry.rule in ("mixed", "outside")
    said = " ".join(f"{t:.3g}" for t in entry.taken) if unnamed else entry.rule
    return said + (" OUTSIDE" if entry.valid is False else "")


def _majority(entries: Sequence[Entry]) -> str:
    return Counter(map(_said, entries)).most_common(1)[0][0] if entries else "-"


#: Descriptions of a measurement, the most general first.
WORDS: tuple[Callable[[Entry], str], ...] = (
    lambda e: f"all modes at {point_name(e.point)}",
    lambda e: e.mode,
    lambda e: f"{e.mode} {e.dtype}",
    lambda e: f"{e.mode} {e.dtype} at {point_name(e.point)}",
)


def _where(found: Sequence[Entry], entries: Sequence[Entry]) -> list[str]:
    """Summarise entries: by whole point, whole mode, or single measurement."""
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
    if first.valid_set is not None:
        return str(first.valid_set)
    if first.rule in ("smooth", "jump", "singular"):
        return "no slope" if first.rule == "singular" else first.rule
    if first.interval is None:
        return "simplex"
    return "[{:.3g}, {:.3g}]".format(*(x + 0.0 for x in first.interval))


def _subnormals(name: str, entries: Sequence[Entry]) -> str:
    """Describe whether subnormal numbers count as zero, judged by the slopes taken there."""
    known = {e.key: e.said for e in entries}
    places = grouped(
        ((*e.key[:3], "0", *e.key[4:]), e)
        for e in entries
        if _subnormal(e) and e.rule not in ("smooth", "jump", "singular", "")
    )
    as_zero = {key for key, both in places.items() if all(e.said == known[key] for e in both)}
    if not places:
        return f"{name}: nothing was measured at subnormal numbers"
    who = f"{name}, at subnormal numbers of both signs:"
    if len(as_zero) in (0, len(places)):
        what = "what it takes at 0" if as_zero else "the slopes of their sides"
        return f"{who} {what}, in all {len(places)} measurements."
    few_zero = 2 * len(as_zero) < len(places)
    few = as_zero if few_zero else set(places) - as_zero
    listed = grouped((key[2], f"{key[4]} {key[5]}") for key in places if key in few)
    told = "; ".join(f"{spelling} ({', '.join(modes)})" for spelling, modes in listed.items())
    usual = "the slopes of their sides" if few_zero else "what it takes at 0"
    n = len(places) - len(few)
    return f"{who} {usual}, in {n} of {len(places)} measurements; not {told}."
