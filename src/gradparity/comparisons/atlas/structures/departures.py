"""Results on structured inputs that are not right, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Departure", "DepartureChange", "Structures", "changed_departures"]


@dataclass(frozen=True)
class Departure:
    """One result of a function on a structured input that is not the right one.

    Attributes
    ----------
    adapter, function : the adapter, and the op of the vocabulary or the call as a user writes it.
    structure, way : of the input, and of how it was stored or run; "trace" is what `check` sees.
    dtype : the number format.
    quantity : the result, such as "value y1" or "grad x".
    status : "wrong", "imprecise", "refused" (an exception where there is an answer) or "documented"
        (not the definition's answer, and the framework's documentation says so).
    given : the input, in short.
    got, true : the worst element, or the whole answer, in words.
    note : a reason, or what the documentation says.
    """

    adapter: str
    function: str
    structure: str
    way: str
    dtype: str
    quantity: str
    status: str
    given: str
    got: str
    true: str
    note: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The fields by which it is found again in another atlas."""
        return (self.adapter, self.function, self.structure, self.way, self.dtype, self.quantity)

    @property
    def said(self) -> str:
        """The answer and the truth."""
        return f"{self.status}: {self.got}, true {self.true}"


@dataclass(frozen=True)
class Structures:
    """The results on structured inputs.

    Attributes
    ----------
    departures : those that are not right, in the order of measurement.
    unsupported : functions that an adapter cannot build, with the reason.
    cases, results : how many cases were run, and how many results of them were judged.
    measured : adapter -> the functions that were measured; empty where that is not known.
    """

    departures: tuple[Departure, ...]
    unsupported: tuple[str, ...]
    cases: int
    results: int
    measured: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class DepartureChange:
    """A departure before and after, None where there is none."""

    before: Departure | None
    after: Departure | None

    def __str__(self) -> str:
        one = self.after or self.before
        assert one is not None
        where = f"{one.adapter}: {one.function}, {one.quantity} with {one.structure}"
        where += f", {one.way} {one.dtype}"
        if self.before is None:
            return f"{where}: appeared, {one.said}"
        if self.after is None:
            return f"{where}: disappeared, was {one.said}"
        return f"{where}: {self.before.said} -> {self.after.said}"


def changed_departures(
    before: Sequence[Departure], after: Sequence[Departure]
) -> list[DepartureChange]:
    """The departures that appeared, disappeared, or have another status or answer."""
    old, new = ({one.key: one for one in each} for each in (before, after))
    pairs = [DepartureChange(old.get(key), new.get(key)) for key in {**old, **new}]
    return [p for p in pairs if (p.before and p.before.said) != (p.after and p.after.said)]
