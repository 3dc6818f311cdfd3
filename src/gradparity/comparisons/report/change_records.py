"""Records of what changed from one report to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..findings.finding import Finding
from ..findings.shown import Shown

__all__ = ["Change", "Changes", "Growth", "Kind"]


class Kind(StrEnum):
    """Kinds of change, the gravest first."""

    WORSE = "worse"
    GONE = "gone"
    WEAKER = "weaker"
    NETWORK = "another network"
    CONVENTION = "another convention"
    REASON = "another reason"
    CHOICE = "another choice"
    NEW = "new"
    BETTER = "better"


@dataclass(frozen=True)
class Change:
    """One thing that changed.

    Attributes
    ----------
    kind : in what way.
    case, adapter, dtype : the run; the last two are empty for a network.
    quantity : empty where the whole run, or the network, is meant.
    before, after : the findings, where there are any.
    said : in a few words, such as "rounding -> mismatch".
    """

    kind: Kind
    case: str
    adapter: str
    dtype: str
    quantity: str
    before: Finding | None
    after: Finding | None
    said: str


@dataclass(frozen=True)
class Growth:
    """An error that takes up more of its bound than before: where, and the two shares."""

    case: str
    adapter: str
    dtype: str
    quantity: str
    before: float
    after: float


@dataclass(frozen=True)
class Changes(Shown):
    """Everything that changed; ``bool(changes)`` is whether anything did.

    Attributes
    ----------
    changes : the gravest first.
    versions : (name, before, after) of what the two were found with, if it differs; "" if absent.
    quantities, runs : in both reports, and so compared.
    bits : of these, that are bitwise right in one report alone; no change, for both are right.
    growth : the error of a right quantity that grew most, where that is notable; no change either.
    """

    changes: tuple[Change, ...]
    versions: tuple[tuple[str, str, str], ...]
    quantities: int
    runs: int
    bits: int
    growth: Growth | None = None

    @property
    def exit_code(self) -> int:
        """0 nothing changed; 1 something did; 2 nothing is in common, or was compared in both."""
        if self.runs and self.changes:
            return 1
        return 0 if self.quantities else 2

    def __bool__(self) -> bool:
        return bool(self.changes)
