"""What changed between two reports: after an upgrade of a framework, or of one's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from .finding import Finding, Verdict
from .report import Report, Run

__all__ = ["Change", "Changes", "Kind", "compare"]

#: A detection power that is so many times worse has changed.
WEAKER = 10.0


class Kind(StrEnum):
    """In what way something is other than it was, the gravest first."""

    WORSE = "worse"
    GONE = "gone"
    WEAKER = "weaker"
    NETWORK = "another network"
    CONVENTION = "another convention"
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
class Changes:
    """Everything that changed; ``bool(changes)`` is whether anything did.

    Attributes
    ----------
    changes : the gravest first.
    versions : (name, before, after) of what the two were found with, if it differs; "" if absent.
    quantities, runs : in both reports, and so compared.
    bits : of these, that are bitwise right in one report alone; no change, for both are right.
    """

    changes: tuple[Change, ...]
    versions: tuple[tuple[str, str, str], ...]
    quantities: int
    runs: int
    bits: int

    @property
    def exit_code(self) -> int:
        """0 nothing changed; 1 something did; 2 the reports have nothing in common."""
        return 2 if not self.runs else int(bool(self))

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        from .changes_text import text

        return text(self)


def compare(before: Report, after: Report) -> Changes:
    """What changed from one report to a later one.

    A quantity is *worse* if its verdict was parity and is not, or if nothing is known of it any
    more, and *better* the other way round.  Where both are right, what counts is another choice at
    a kink and a detection power that is 10 times worse; errors that rounding explains never count.

    >>> import gradparity as gp
    >>> from gradparity.core import Affine, L2
    >>> def mine(case):
    ...     given = gp.backprop(case)
    ...     given.grad["b1"] *= factor
    ...     return given
    >>> net, factor = gp.layered([Affine(3, 2)], L2()), 1
    >>> before, factor = gp.check(net, mine, dtypes=["float64"]), 3
    >>> changes = compare(before, gp.check(net, mine, dtypes=["float64"]))
    >>> [(str(change.kind), change.quantity, change.said) for change in changes.changes]
    [('worse', 'grad b1', 'exact -> mismatch')]
    """
    old, new = _by_name(before), _by_name(after)
    both = [key for key in old if key in new]
    found = [*_networks(before, after), *_runs(old, new)]
    for key in both:
        found += _quantities(old[key], new[key])
    found.sort(key=lambda change: [*Kind].index(change.kind))
    pairs = [pair for key in both for pair in _pairs(old[key], new[key])]
    right = [{a.verdict, b.verdict} == {Verdict.EXACT, Verdict.ROUNDING} for a, b in pairs]
    return Changes(tuple(found), _versions(before, after), len(pairs), len(both), sum(right))


Key = tuple[str, str, str]


def _by_name(report: Report) -> dict[Key, Run]:
    return {(run.case, run.adapter, run.dtype): run for run in report.runs}


def _versions(before: Report, after: Report) -> tuple[tuple[str, str, str], ...]:
    old, new = ({**r.environment, **_skipped(r)} for r in (before, after))
    names = dict.fromkeys([*old, *new])
    return tuple(
        (name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name) != new.get(name)
    )


def _skipped(report: Report) -> dict[str, str]:
    return {f"{name}, skipped": why for name, why in report.skipped.items()}


def _networks(before: Report, after: Report) -> Iterator[Change]:
    for case, graph in after.graphs.items():
        if case in before.graphs and before.graphs[case] != graph:
            said = "another network under the same name: numbers say nothing of each other"
            yield Change(Kind.NETWORK, case, "", "", "", None, None, said)


def _runs(old: dict[Key, Run], new: dict[Key, Run]) -> Iterator[Change]:
    for key in old:
        if key not in new:
            yield Change(Kind.GONE, *key, "", None, None, "was run before, and is not now")
    for key in new:
        if key not in old:
            yield Change(Kind.NEW, *key, "", None, None, "was not run before")


def _pairs(old: Run, new: Run) -> list[tuple[Finding, Finding]]:
    later = {f.quantity: f for f in new.findings}
    return [(f, later[f.quantity]) for f in old.findings if f.quantity in later]


def _quantities(old: Run, new: Run) -> Iterator[Change]:
    run = new.case, new.adapter, new.dtype
    earlier, later = ({f.quantity: f for f in r.findings} for r in (old, new))
    for q, f in earlier.items():
        if q not in later:
            yield Change(Kind.GONE, *run, q, f, None, f"was {f.verdict}, and was not returned")
    for q, f in later.items():
        if q in earlier:
            changed = _changed(earlier[q], f)
            if changed is not None:
                yield Change(changed[0], *run, q, earlier[q], f, changed[1])
        elif f.parity is True or f.verdict is Verdict.VACUOUS:
            yield Change(Kind.NEW, *run, q, None, f, f"is {f.verdict}, and was not there")
        else:
            yield Change(Kind.WORSE, *run, q, None, f, f"is {f.verdict}, and was not there")


def _changed(a: Finding, b: Finding) -> tuple[Kind, str] | None:
    """In what way a quantity changed, and in words; None if what matters did not."""
    said = f"{_word(a)} -> {_word(b)}"
    if _standing(a) != _standing(b):
        return (Kind.WORSE if _standing(b) > _standing(a) else Kind.BETTER), said
    if a.convention != b.convention:
        return Kind.CONVENTION, said
    random = "Random" in b.op  # slopes are drawn, not chosen
    if a.kinks and b.kinks and set(a.kinks.taken) != set(b.kinks.taken) and not random:
        return Kind.CHOICE, f"takes {a.kinks.choice or 'nothing'} -> {b.kinks.choice or 'nothing'}"
    if a.power and b.power and b.power.tensor > WEAKER * a.power.tensor:
        return Kind.WEAKER, f"sees faults of {a.power.tensor:.1g} -> {b.power.tensor:.1g}"
    if a.power and b.power and b.power.median > WEAKER * a.power.median:
        return Kind.WEAKER, f"sees faults of {a.power.median:.1g} -> {b.power.median:.1g}"
    return None


def _word(f: Finding) -> str:
    name = f"{f.verdict} {f.convention}" if f.convention else str(f.verdict)
    return f"{name} (expected)" if f.declared else name


def _standing(f: Finding) -> int:
    """How far from parity: 0 there is, 1 nothing was tested, 2 unknown; above, by verdict."""
    if f.parity is True:
        return 0
    if f.parity is None:
        return 1 + (f.verdict is Verdict.INCONCLUSIVE)
    return 3 + f.verdict.badness
