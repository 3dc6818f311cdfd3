"""The atlas of kinks: the measured subgradients of every framework, as data.  See `probe`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...adapters.valid_sets import Ball, Box, Unjudged
from ..findings.stored import parsed, plain, record
from .smooth.regions import RegionChange, Smooth, changed_regions
from .structures.departures import DepartureChange, Structures, changed_departures

__all__ = ["SCHEMA", "Atlas", "Change", "Entry", "point_name"]

SCHEMA = "gradparity/atlas/2"


def point_name(point: tuple[float, ...]) -> str:
    """A point as text, for printing and comparing; the sign of a zero counts.

    >>> point_name((-0.0,)), point_name((1.0, 1.0, 0.0))
    ('-0', '1 1 0')
    """
    return " ".join(f"{p:g}" for p in point)


@dataclass(frozen=True)
class Entry:
    """The subgradient of one implementation at one kink, in one mode and dtype.

    Attributes
    ----------
    adapter, spelling : the adapter and the name of the function.
    core : whether the function is the adapter's twin of an op of the core.
    point : the kink, one number; or the input at which elements tie.
    mode : "trace" (what `check` sees), or another of the adapter's ways to differentiate.
    dtype : "float32" or "float64".
    taken : the slope at the kink (several if the same number gave several), or the weight of each
        input of a tie; empty where there is no answer.
    interval : the slopes measured just beside the kink, sorted; None for ties.
    valid : whether `taken` is in the subdifferential; None where there is none, or no answer.
    rule : "left", "right", "half", "between", "outside", "smooth" (no kink), "jump" (the value
        jumps), "singular" (no finite slope on one side); for ties "first", "last", "even", "mixed",
        "all" (one to each), "single" (no tie for this function), "outside"; for singular points
        "inside", "outside" and "unjudged".
    note : "unsupported: ..." where there is no answer.
    valid_set : the valid gradients at a singular point, given by the adapter's table; else None.
    """

    adapter: str
    spelling: str
    core: bool
    point: tuple[float, ...]
    mode: str
    dtype: str
    taken: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    valid: bool | None = None
    rule: str = ""
    note: str = ""
    valid_set: Box | Ball | Unjudged | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """The key that an entry shares with its counterpart in another atlas."""
        kind = "op" if self.core else "spelling"
        where = point_name(self.point)
        return self.adapter, kind, self.spelling, where, self.mode, self.dtype

    @property
    def said(self) -> str:
        """The measured value to six digits: more depends on the processor.

        >>> Entry("a", "relu", True, (0.0,), "trace", "float32", (0.5,), (0.0, 1.0), True).said
        '0.5'
        """
        if self.note:
            return self.note.partition(":")[0]
        numbers = " ".join(f"{t + 0.0:.6g}" for t in self.taken)
        told = numbers if self.interval or self.valid_set else f"{self.rule} ({numbers})"
        return told + (" OUTSIDE" if self.valid is False else "")


@dataclass(frozen=True)
class Change:
    """A difference between two atlases: an entry before and after, None where there is none."""

    before: Entry | None
    after: Entry | None

    def __str__(self) -> str:
        one = self.before or self.after
        assert one is not None
        where = f"{one.adapter}: {one.spelling} at {point_name(one.point)}, {one.mode} {one.dtype}"
        if self.before is None:
            return f"{where}: appeared, {one.said}"
        if self.after is None:
            return f"{where}: disappeared, was {one.said}"
        if self.before.said != self.after.said:
            return f"{where}: {self.before.said} -> {self.after.said}"
        return f"{where}: {one.said}, valid {_valid(self.before)} -> {_valid(self.after)}"


def _valid(entry: Entry) -> str:
    if entry.valid_set is not None:
        return str(entry.valid_set)
    if entry.interval is None:
        return {True: "yes", False: "no", None: "unknown"}[entry.valid]
    return "[{:.6g}, {:.6g}]".format(*(x + 0.0 for x in entry.interval))


@dataclass(frozen=True)
class Atlas:
    """Every entry, stamped with the versions it was measured with.

    Attributes
    ----------
    versions : adapter -> name -> version, as the adapter gives them.
    machine : the processor's architecture.
    compile : whether slow compilers were measured too.
    entries : the kinks, in the order of measurement; none where they were not measured.
    smooth : the smooth regions; None where they were not measured.
    structures : the results on structured inputs; None where they were not measured.
    """

    versions: Mapping[str, Mapping[str, str]]
    machine: str
    compile: bool
    entries: tuple[Entry, ...]
    smooth: Smooth | None = None
    structures: Structures | None = None

    @property
    def option(self) -> str:
        """The option of `gradparity probe` that measures this atlas; empty for kinks."""
        if self.smooth is not None:
            return "--smooth" if self.structures is None else "--all"
        return "" if self.structures is None else "--structures"

    def to_json(self) -> str:
        """JSON, an entry a line, so that two files can also be compared by eye.

        Infinities and NaN, for which JSON has no literal, are strings.
        """
        head = {
            "schema": SCHEMA,
            "versions": {name: dict(found) for name, found in self.versions.items()},
            "machine": self.machine,
            "compile": self.compile,
        }
        lines = [json.dumps(plain(e), allow_nan=False) for e in self.entries]
        opened = json.dumps(head, allow_nan=False, indent=1).removesuffix("\n}")
        return f'{opened},\n "entries": [\n' + ",\n".join(lines) + "\n ]" + self._others() + "\n}"

    def _others(self) -> str:
        """The smooth regions and the structures as JSON; what is last in the object."""
        smooth = _listed("smooth", self.smooth, "regions")
        return smooth + _listed("structures", self.structures, "departures")

    @classmethod
    def from_json(cls, text: str) -> Atlas:
        """Read an atlas that `to_json` wrote.

        Raises
        ------
        ValueError : the text is not JSON, has another schema, or is not a complete atlas.

        >>> atlas = Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, ())
        >>> Atlas.from_json(atlas.to_json()) == atlas
        True
        """
        return record(cls, parsed(text), SCHEMA, "`gradparity probe --json FILE`")

    def diff(self, other: Atlas) -> list[Change | RegionChange | DepartureChange]:
        """Differences of `other`, in the order of this atlas; new entries come last.

        Numbers are compared to six digits: beyond, processors differ.

        Raises
        ------
        ValueError : the atlases are of different adapters, only one was measured with compilers,
            or they were measured with other options of these: --smooth, --structures, --all.
        """
        if set(self.versions) != set(other.versions):
            raise ValueError(
                f"one atlas is of {sorted(self.versions)}, the other of {sorted(other.versions)}"
            )
        if self.compile != other.compile:
            raise ValueError("one atlas was measured with --compile, the other without")
        if self.option != other.option:
            options = " and ".join(a.option or "no such option" for a in (self, other))
            raise ValueError(f"the atlases were measured with {options}; give two of one kind")
        before, after = ({e.key: e for e in a.entries} for a in (self, other))
        pairs = [Change(before.get(key), after.get(key)) for key in {**before, **after}]
        changes: list[Change | RegionChange | DepartureChange] = [
            pair for pair in pairs if _compared(pair.before) != _compared(pair.after)
        ]
        if self.smooth is not None and other.smooth is not None:
            changes += changed_regions(self.smooth.regions, other.smooth.regions)
        if self.structures is not None and other.structures is not None:
            departures = self.structures.departures, other.structures.departures
            changes += changed_departures(*departures)
        return changes


def _compared(entry: Entry | None) -> tuple[str, ...]:
    return () if entry is None else (entry.said, _valid(entry))


def _listed(name: str, found: Any, field: str) -> str:
    """A field of the atlas as JSON, with one of its own fields last, an item a line."""
    if found is None:
        return f',\n "{name}": null'
    head = {k: v for k, v in plain(found).items() if k != field}
    lines = [json.dumps(plain(one), allow_nan=False) for one in getattr(found, field)]
    opened = json.dumps(head, allow_nan=False, indent=1).removesuffix("\n}")
    return f',\n "{name}": {opened},\n "{field}": [\n' + ",\n".join(lines) + "\n ]}"
