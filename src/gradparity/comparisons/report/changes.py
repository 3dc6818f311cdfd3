"""Find the changes between two reports, such as before and after an upgrade."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from ...core.arithmetic.precision import Precision
from ...core.arithmetic.received import received
from ..findings.finding import SUM, Finding, KinkSummary, Power, Verdict
from ..findings.quantities import EVERYTHING
from .change_records import Change, Changes, Growth, Kind
from .graph import rewired
from .records import Run, share
from .report import Report

__all__ = ["compare"]

T = TypeVar("T")

#: Factor by which a fault or a detection power must worsen to count as a change.
TIMES = 10.0
#: Growth of an error, as a share of its bound, that is reported although it is not a change.
NOTABLE = 0.25


def compare(before: Report, after: Report) -> Changes:
    """Find the changes from one report to a later one.

    A quantity is *worse* if it had parity and now has none, if its verdict is no longer known, or
    if its error relative to the bound is at least 10 times larger; *better* is the reverse.  Two
    right results differ if they take different subgradients at a kink, or if the detection power
    is over 10 times worse; errors within rounding never count.  An allowed convention is right.

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
    for name, report in (("before", before), ("after", after)):
        if not isinstance(report, Report):
            raise TypeError(f"{name} is {received(report)}; give a Report, such as check returns")
    old, new = _by_name(before), _by_name(after)
    both = [(old[key], new[key]) for key in old if key in new]
    networks = dict(_networks(before, after, both))
    found = [
        Change(Kind.NETWORK, case, "", "", "", None, None, f"{said}; the numbers differ too")
        for case, said in networks.items()
    ]
    found += _runs(old, new)
    for a, b in both:
        found += _quantities(a, b, same=b.case not in networks)
    pairs = [(run, f, g) for a, run in both for f, g in _pairs(a, run)]
    right = [{f.verdict, g.verdict} == {Verdict.EXACT, Verdict.ROUNDING} for _, f, g in pairs]
    return Changes(
        tuple(sorted(found, key=_severity)),
        _versions(before, after),
        quantities=sum(f.elements > 0 and g.elements > 0 for _, f, g in pairs),
        runs=len(both),
        bits=sum(right),
        growth=_growth([pair for pair in pairs if pair[0].case not in networks]),
    )


def _severity(change: Change) -> tuple[int, ...]:
    """Sort the gravest kind first, and a cause before its consequences."""
    f, kind = change.after, [*Kind].index(change.kind)
    return (kind, f.op == SUM, bool(f.follows), -_standing(f)) if f else (kind, 0, 0, 0)


def _by_name(report: Report) -> dict[Hashable, Run]:
    return _numbered(report.runs, lambda run: (run.case, run.adapter, run.dtype))


def _numbered(things: Iterable[T], name: Callable[[T], Hashable]) -> dict[Hashable, T]:
    """Index by name and, among equal names, by position, so that nothing is dropped."""
    seen: Counter[Hashable] = Counter()
    found: dict[Hashable, T] = {}
    for thing in things:
        key = name(thing)
        found[key, seen[key]] = thing
        seen[key] += 1
    return found


def _versions(before: Report, after: Report) -> tuple[tuple[str, str, str], ...]:
    old, new = (
        r.environment | {f"{name}, skipped": why for name, why in r.skipped.items()}
        for r in (before, after)
    )
    pairs = ((name, old.get(name, ""), new.get(name, "")) for name in old | new)
    return tuple(pair for pair in pairs if pair[1] != pair[2])


# --- networks and runs ----------------------------------------------------------------------------


def _networks(
    before: Report, after: Report, both: Iterable[tuple[Run, Run]]
) -> Iterator[tuple[str, str]]:
    """(case, description) for every case whose network changed under the same name."""
    seen: set[str] = set()
    for a, b in both:
        if b.case in seen:
            continue
        graphs = before.graphs.get(b.case), after.graphs.get(b.case)
        if graphs[0] is not None and graphs[1] is not None:
            said = [*rewired(graphs[0], graphs[1])]
        else:  # a report about one op has no graph
            ops = [(f.op, g.op) for f, g in _pairs(a, b) if f.op and g.op]
            said = [f"{op} -> {other}" for op, other in dict.fromkeys(ops) if op != other]
        if said:
            seen.add(b.case)
            more = f", and {len(said) - 1} more" if len(said) > 1 else ""
            yield b.case, f"{said[0]}{more}"


def _runs(old: dict[Hashable, Run], new: dict[Hashable, Run]) -> Iterator[Change]:
    for kind, these, others, said in (
        (Kind.GONE, old, new, "was run before, and is not now"),
        (Kind.NEW, new, old, "was not run before"),
    ):
        for key, run in these.items():
            if key not in others:
                yield Change(kind, run.case, run.adapter, run.dtype, "", None, None, said)


# --- the quantities of a run ----------------------------------------------------------------------


def _findings(run: Run) -> dict[Hashable, Finding]:
    return _numbered(run.findings, lambda f: f.quantity)


def _pairs(old: Run, new: Run) -> list[tuple[Finding, Finding]]:
    later = _findings(new)
    return [(f, later[key]) for key, f in _findings(old).items() if key in later]


def _quantities(old: Run, new: Run, same: bool) -> Iterator[Change]:
    """Changes in a run; numbers are compared only if the network is the `same`."""
    earlier, later = _findings(old), _findings(new)
    failed = any(f.quantity == EVERYTHING for run in (old, new) for f in run.findings)
    for key in dict.fromkeys([*earlier, *later]):
        a, b = earlier.get(key), later.get(key)
        changed = _changed(a, b, new.dtype, same) if a and b else _alone(a, b, failed)
        if changed is not None:
            q = (a or b).quantity  # type: ignore[union-attr]
            yield Change(changed[0], new.case, new.adapter, new.dtype, q, a, b, changed[1])


def _alone(a: Finding | None, b: Finding | None, failed: bool) -> tuple[Kind, str] | None:
    """The change of a quantity that one report lacks, unless a failed run explains it."""
    if a is not None:
        if _accusation(a):
            return Kind.BETTER, f"was {_word(a)}, and is not any more"
        return None if failed else (Kind.GONE, f"was {_word(a)}, and was not returned")
    assert b is not None
    right = b.parity is True or b.verdict is Verdict.VACUOUS
    if right and failed:
        return None
    return (Kind.NEW if right else Kind.WORSE), f"is {_word(b)}, and was absent"


def _accusation(f: Finding) -> bool:
    """True for findings that exist only on failure; their absence means success."""
    return f.parity is not True and (not f.op or f.quantity.endswith(", second call"))


def _changed(a: Finding, b: Finding, dtype: str, same: bool) -> tuple[Kind, str] | None:
    """The kind of a quantity's change, and a description; None if nothing that matters changed."""
    if _standing(a) != _standing(b):
        kind = Kind.WORSE if _standing(b) > _standing(a) else Kind.BETTER
        return kind, f"{_word(a)} -> {_word(b)}"
    if a.convention != b.convention:
        return Kind.CONVENTION, f"{_word(a)} -> {_word(b)}"
    if not same:
        return _choice(a, b, dtype)
    return _further(a, b) or _reason(a, b) or _choice(a, b, dtype) or _weaker(a.power, b)


def _word(f: Finding) -> str:
    name = f"{f.verdict} {f.convention}".strip()
    return f"{name} (allowed)" if f.declared else name


def _standing(f: Finding) -> int:
    """Rank a finding: 0 parity, 1 nothing was tested, 2 unknown; above, by verdict."""
    if f.parity is True:
        return 0
    if f.parity is None:
        return 1 + (f.verdict is Verdict.INCONCLUSIVE)
    return 3 + f.verdict.badness


def _further(a: Finding, b: Finding) -> tuple[Kind, str] | None:
    """A much larger or smaller error of a fault; for a convention its name says this."""
    old, new = share(a), share(b)
    if a.verdict not in (Verdict.MISMATCH, Verdict.IMPRECISE) or old == new:
        return None
    if max(old, new) < TIMES * min(old, new):
        return None
    if new > old:
        return Kind.WORSE, f"{b.verdict}, and further off"
    return Kind.BETTER, f"{b.verdict}, and less far off"


#: A number in a note, or the address of an object.
NUMBER = re.compile(r"0x[0-9a-f]+|\b\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def _reason(a: Finding, b: Finding) -> tuple[Kind, str] | None:
    """Another explanation; for a convention the numbers in it count: they are its parameters."""
    if a.verdict is Verdict.CONVENTION and b.verdict is Verdict.CONVENTION:
        return None if a.note == b.note else (Kind.CONVENTION, f"{_word(b)}, another parameter")
    if a.verdict not in (Verdict.MISMATCH, Verdict.INCONCLUSIVE):
        return None
    if NUMBER.sub("", a.note) == NUMBER.sub("", b.note):
        return None
    return Kind.REASON, f"{b.verdict} for another reason"


def _weaker(power: Power | None, b: Finding) -> tuple[Kind, str] | None:
    if power is None or b.parity is not True:
        return None
    if b.power is None:
        return Kind.WEAKER, f"saw faults of {power.tensor:.1g}, and now none"
    for old, new in ((power.tensor, b.power.tensor), (power.median, b.power.median)):
        if new > TIMES * old:
            return Kind.WEAKER, f"sees faults of {old:.1g} -> {new:.1g}"
    return None


def _growth(pairs: Iterable[tuple[Run, Finding, Finding]]) -> Growth | None:
    """The largest growth of an error relative to its bound, of quantities right in both reports."""
    found = [
        Growth(run.case, run.adapter, run.dtype, f.quantity, share(f), share(g))
        for run, f, g in pairs
        if f.verdict.parity and g.verdict.parity
    ]
    most = max(found, key=lambda growth: growth.after - growth.before, default=None)
    return most if most is not None and most.after - most.before >= NOTABLE else None


# --- at a kink ------------------------------------------------------------------------------------


def _choice(a: Finding, b: Finding, dtype: str) -> tuple[Kind, str] | None:
    """Another subgradient at a kink, or the same one where the network now names another."""
    if a.kinks is None or b.kinks is None:  # rounding decides whether an element hits the kink
        return None
    if "Random" in b.op:  # slopes are drawn, not chosen
        return None
    if not _same_choice(a.kinks, b.kinks, dtype):
        old, new = a.kinks, b.kinks
        if old.choice != new.choice:
            return Kind.CHOICE, f"takes {old.choice} -> {new.choice}"
        return Kind.CHOICE, f"takes {old.choice}, in other places"
    if a.verdict is not b.verdict and Verdict.SUBGRADIENT in (a.verdict, b.verdict):
        return Kind.CHOICE, f"{_word(a)} -> {_word(b)}"
    return None


def _same_choice(old: KinkSummary, new: KinkSummary, dtype: str) -> bool:
    """Whether both chose the same; counts are compared only if their totals are equal.

    Rounding moves elements onto a kink and off it, and decides whether the incoming gradient is
    zero.
    """
    near = 1e-3 + 4 * Precision.of(dtype).unit  # four digits, of rounded products

    def same(name: str, other: str) -> bool:
        try:
            return name == other or math.isclose(float(name), float(other), rel_tol=near)
        except ValueError:  # a rule for ties
            return False

    every = {**old.taken, **new.taken}
    one, two = Counter[str](), Counter[str]()
    for counts, kinks in ((one, old), (two, new)):
        for name, n in kinks.taken.items():
            counts[next(other for other in every if same(name, other))] += n
    if not one or not two:  # every incoming gradient was zero
        return True
    return one == two if one.total() == two.total() else set(one) == set(two)
