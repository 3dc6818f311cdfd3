"""The subgradient of one implementation at one kink, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...adapters.valid_sets import Ball, Box, Unjudged

__all__ = ["Change", "Entry", "changed_entries", "point_name"]


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
        if self.after.note and not self.before.note:
            why = self.after.note.partition(": ")[2]
            return f"{where}: no longer answers ({why}), was {self.before.said}"
        if self.before.said != self.after.said:
            return f"{where}: {self.before.said} -> {self.after.said}"
        return f"{where}: {one.said}, valid {_valid(self.before)} -> {_valid(self.after)}"


def _valid(entry: Entry) -> str:
    if entry.valid_set is not None:
        return str(entry.valid_set)
    if entry.interval is None:
        return {True: "yes", False: "no", None: "unknown"}[entry.valid]
    return "[{:.6g}, {:.6g}]".format(*(x + 0.0 for x in entry.interval))


def changed_entries(before: Sequence[Entry], after: Sequence[Entry]) -> list[Change]:
    """The entries that appeared, disappeared, or are another slope or another set of valid ones."""
    old, new = ({e.key: e for e in each} for each in (before, after))
    pairs = [Change(old.get(key), new.get(key)) for key in {**old, **new}]
    return [pair for pair in pairs if _compared(pair.before) != _compared(pair.after)]


def _compared(entry: Entry | None) -> tuple[str, ...]:
    return () if entry is None else (entry.said, _valid(entry))
