"""Compare two atlases: only what both of them measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..findings.unanswered import Reasons, answers_again, by_reason, covers, no_longer, reasons
from .entry import Change, Entry, changed_entries
from .smooth.regions import RegionChange, Smooth, changed_regions
from .structures.departures import DepartureChange, Structures, changed_departures

__all__ = ["AnyChange", "Comparison", "FunctionChange", "compared", "functions_of", "names_in"]

#: The parts of an atlas.
PARTS = ("kinks", "smooth", "structures")
#: First word of a function -> the library that it is of.
LIBRARIES = {
    "eqx": "equinox", "flax": "flax", "keras": "keras", "linen": "flax", "nnx": "flax",
    "optax": "optax",
}  # fmt: skip


class Atlas(Protocol):
    """The parts of an atlas that are compared; see `gradparity.comparisons.atlas.stored.Atlas`."""

    @property
    def versions(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def entries(self) -> Sequence[Entry]: ...
    @property
    def smooth(self) -> Smooth | None: ...
    @property
    def structures(self) -> Structures | None: ...


@dataclass(frozen=True)
class FunctionChange:
    """A function that is gone, no longer answers, or answers now."""

    adapter: str
    function: str
    said: str

    def __str__(self) -> str:
        return f"{self.adapter}: {self.function}: {self.said}"


AnyChange = Change | RegionChange | DepartureChange | FunctionChange


@dataclass
class Comparison:
    """The changes, notes on what was not compared, and how many of each kind were compared."""

    changes: list[AnyChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str, n: int) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + n


class Side(NamedTuple):
    """One part of an atlas: its results, its functions by adapter, and lines of those without."""

    results: Sequence[Any]
    functions: Mapping[str, Sequence[str]]
    lines: Sequence[str]


def functions_of(atlas: Atlas, part: str) -> Mapping[str, Sequence[str]]:
    """Adapter -> the functions that were measured; an adapter is missing if that is not known."""
    if part == "kinks":
        found = dict[str, dict[str, None]]()
        for entry in atlas.entries:
            found.setdefault(entry.adapter, {})[entry.spelling] = None
        return {name: [*functions] for name, functions in found.items()}
    kept = getattr(atlas, part)
    return {} if kept is None else {name: each for name, each in kept.measured.items() if each}


def names_in(atlas: Atlas) -> list[str]:
    """The functions of all parts and adapters; those with results where no others are known."""
    names = [n for part in PARTS for found in functions_of(atlas, part).values() for n in found]
    regions = () if atlas.smooth is None else atlas.smooth.regions
    departures = () if atlas.structures is None else atlas.structures.departures
    return [*dict.fromkeys([*names, *map(_name, (*regions, *departures))])]


def compared(before: Atlas, after: Atlas) -> Comparison:
    """Compare two atlases of the same adapters and parts.

    Raises
    ------
    ValueError : no function was measured in both.
    """
    found = Comparison(notes=[*_restricted(before, after)])
    known = False
    if before.entries or after.entries:
        sides = [Side(a.entries, functions_of(a, "kinks"), ()) for a in (before, after)]
        known |= _part(before, after, sides, "entries", _entries, found)
    if before.smooth is not None and after.smooth is not None:
        sides = [
            Side(s.regions, functions_of(a, "smooth"), s.unsupported)
            for a, s in ((before, before.smooth), (after, after.smooth))
        ]
        known |= _part(before, after, sides, "regions", _regions, found)
    if before.structures is not None and after.structures is not None:
        sides = [
            Side(s.departures, functions_of(a, "structures"), s.unsupported)
            for a, s in ((before, before.structures), (after, after.structures))
        ]
        known |= _part(before, after, sides, "results", _departures, found)
    if known and not found.counts["functions"]:
        raise ValueError(
            "no function was measured in both atlases; measure with the same --function, libraries "
            "and KERAS_BACKEND"
        )
    return found


def _restricted(before: Atlas, after: Atlas) -> Iterator[str]:
    if before.names != after.names:
        old, new = (" ".join(map(repr, a.names)) or "all" for a in (before, after))
        yield f"only functions of both runs are compared; --function before: {old}; now: {new}"


Differ = Callable[[Side, Side, Comparison], Iterator[AnyChange]]


def _part(
    before: Atlas, after: Atlas, sides: Sequence[Side], kind: str, differ: Differ, found: Comparison
) -> bool:
    """Compare one part; returns whether the functions of both are known in every adapter."""
    old, new = sides
    left = dict[str, set[str]]()  # the functions that are not compared
    known = bool(old.functions) and bool(new.functions)
    for adapter in before.versions:
        first, second = (side.functions.get(adapter) for side in sides)
        gone = _absent(_names(old, adapter), second, adapter, before, after)
        fresh = _absent(_names(new, adapter), first, adapter, after, before)
        left[adapter] = {*gone.library, *gone.restricted, *fresh.library, *fresh.restricted}
        if first is not None:
            left[adapter] |= {*gone.others, *fresh.others}
            found.changes += [FunctionChange(adapter, f, "no longer there") for f in gone.others]
            found.notes += [f"{adapter}: new: {', '.join(fresh.others)}"] * bool(fresh.others)
        elif second is not None:
            found.notes.append(
                f"{adapter}: the first atlas has no names of functions, so a function that was "
                f"removed looks like {kind} that disappeared; write it again"
            )
        found.notes += [*_of_libraries(adapter, gone.library, "before and not now")]
        found.notes += [*_of_libraries(adapter, fresh.library, "now and not before")]
        both = [f for f in second or first or () if f not in left[adapter]]
        known &= first is not None and second is not None
        found.count("functions", len(both) + (len(gone.others) if first is not None else 0))
        found.changes += _answers(adapter, both, old.lines, new.lines)
    kept = [
        side._replace(results=[one for one in side.results if _name(one) not in left[one.adapter]])
        for side in sides
    ]
    found.count(kind, 0)
    dropped = [[one for one in s.results if _name(one) in left[one.adapter]] for s in sides]
    found.changes += [
        change for change in differ(kept[0], kept[1], found)
        if not (isinstance(change, RegionChange) and _by_another_name(change, *dropped))
    ]  # fmt: skip
    return known


def _name(one: Any) -> str:
    """The function of an entry, a region or a departure."""
    return str(getattr(one, "spelling", "") or one.function)


def _names(side: Side, adapter: str) -> Sequence[str]:
    seen = (_name(one) for one in side.results if one.adapter == adapter)
    return side.functions.get(adapter) or [*dict.fromkeys(seen)]


class Absent(NamedTuple):
    """Functions of one atlas that the other lacks: by --function, by library, and the others."""

    restricted: list[str]
    library: list[str]
    others: list[str]


def _absent(
    mine: Sequence[str], theirs: Sequence[str] | None, adapter: str, one: Atlas, other: Atlas
) -> Absent:
    found = Absent([], [], [])
    libraries = one.versions[adapter].keys() - other.versions[adapter].keys()
    for name in mine:
        if theirs is not None and name in theirs:
            continue
        if other.names and not any(part in name for part in other.names):
            found.restricted.append(name)
        elif theirs is None:
            continue
        elif LIBRARIES.get(name.partition(".")[0]) in libraries:
            found.library.append(name)
        else:
            found.others.append(name)
    return found


def _of_libraries(adapter: str, functions: Sequence[str], when: str) -> Iterator[str]:
    if functions:
        yield (
            f"{adapter}: measured {when}, because the library is not installed or KERAS_BACKEND "
            f"differs: {', '.join(functions)}"
        )


def _answers(
    adapter: str, functions: Sequence[str], before: Sequence[str], after: Sequence[str]
) -> Iterator[FunctionChange]:
    """The functions that no longer answer somewhere, or do again."""
    for function in functions:
        old, new = (reasons(lines, adapter, function) for lines in (before, after))
        for why, places in by_reason(no_longer(old, new)):
            yield FunctionChange(adapter, function, f"no longer answers{places} ({why})")
        for why, places in by_reason(answers_again(old, new)):
            yield FunctionChange(adapter, function, f"answers now{places} (before: {why})")


def _entries(old: Side, new: Side, found: Comparison) -> Iterator[AnyChange]:
    found.count("entries", len({e.key for e in (*old.results, *new.results)}))
    yield from changed_entries(old.results, new.results)


def _regions(old: Side, new: Side, found: Comparison) -> Iterator[AnyChange]:
    """The changes of regions in modes that answered in both."""
    changes = changed_regions(old.results, new.results)
    found.count("regions", len(old.results) + sum(c.before is None for c in changes))
    for change in changes:
        one, other = (change.before, new) if change.after is None else (change.after, old)
        assert one is not None
        silent = reasons(other.lines, one.adapter, one.spelling)
        places = [f"{mode} {one.dtype}" for mode in one.modes]
        if (change.before and change.after) or not all(_silent(silent, p) for p in places):
            yield change


def _departures(old: Side, new: Side, found: Comparison) -> Iterator[AnyChange]:
    """The changes of departures, except those that are gone because there is no answer now."""
    found.count("results", len({d.key for d in (*old.results, *new.results)}))
    for change in changed_departures(old.results, new.results):
        if change.before is not None and change.after is None:
            one = change.before
            sides = (reasons(side.lines, one.adapter, one.function) for side in (old, new))
            if _silent(no_longer(*sides), one.dtype):
                continue
        yield change


def _silent(found: Reasons, place: str) -> bool:
    return any(covers(where, place) for where in found)


def _by_another_name(change: RegionChange, old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Whether it is told of a function with another name, which is not compared.

    Of functions that give the same numbers, an atlas has the regions of the first alone.
    """
    one, dropped = (change.before, new) if change.after is None else (change.after, old)
    if one is None or (change.before and change.after):
        return False
    return any(
        (one.adapter, one.function, one.quantity, one.dtype, one.at, one.got)
        == (d.adapter, d.function, d.quantity, d.dtype, d.at, d.got)
        for d in dropped
    )  # fmt: skip
