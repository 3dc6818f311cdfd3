"""Records of the changes from one report to another."""

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
    kind : the kind of change.
    case, adapter, dtype : the run; the last two are empty for a network.
    quantity : empty for a change of a whole run or of a network.
    before, after : the findings; None where a report has none.
    said : a short description, such as "rounding -> mismatch".
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
    """An error that uses a larger share of its bound than before: the place, and the two shares."""

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
    versions : (name, before, after) of versions that differ; "" where a report has none.
    quantities, runs : the numbers compared, that is, contained in both reports.
    bits : the number of quantities that are bitwise right in one report alone; not a change, as
        both are right.
    growth : the notable growth of a right quantity's error; not a change either.
    """

    changes: tuple[Change, ...]
    versions: tuple[tuple[str, str, str], ...]
    quantities: int
    runs: int
    bits: int
    growth: Growth | None = None

    @property
    def exit_code(self) -> int:
        """0 for no change, 1 for changes, 2 if the reports have nothing in common to compare."""
        if self.runs and self.changes:
            return 1
        return 0 if self.quantities else 2

    def __bool__(self) -> bool:
        return bool(self.changes)
