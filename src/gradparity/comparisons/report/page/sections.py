"""Sections of a page about the whole report: verdict, faults, kinks, conventions, power."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...explain.allowed import NAMES
from ...findings.elements import Element
from ...findings.finding import Finding, Power, Verdict
from ..diagnosis import faults, headline
from ..diagnosis import rows as told
from ..records import Difference, Run
from ..report import Report
from .cells import MEANING, SIGN

__all__ = [
    "ConventionRow",
    "FaultView",
    "KinkRow",
    "PowerRow",
    "VerdictRow",
    "conventions",
    "differences",
    "fault_views",
    "in_words",
    "kinks",
    "powers",
    "unseen",
    "verdicts",
]

#: Faults told one by one before the rest is counted; pairs of implementations that all are shown.
TOLD, PAIRS = 40, 24


def in_words(report: Report) -> tuple[str, str, str]:
    """The verdict: one word, one sentence, and what was compared."""
    word = {0: "Parity", 1: "No parity", 2: "Unknown"}[report.exit_code]
    if not report.runs:
        return word, "Nothing was compared.", ""
    who = _listed(dict.fromkeys(run.adapter for run in report.runs))
    said = headline(report)
    said = f"{said[0].upper()}{said[1:]}"
    if report:
        verb = "computes" if len({run.adapter for run in report.runs}) == 1 else "compute"
        said = f"{who} {verb} the hand-derived gradient"
    findings = [f for _, f in report.findings()]
    cases = len({run.case for run in report.runs})
    compared = (
        f"{len(findings)} quantities of {who} in {cases} case{'s' * (cases > 1)} and "
        f"{len(report.runs)} runs: {sum(f.elements for f in findings)} elements, each one compared."
    )
    return word, f"{said}.", compared


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class VerdictRow:
    verdict: Verdict
    sign: str
    meaning: str
    count: int


def verdicts(report: Report) -> list[VerdictRow]:
    """The whole vocabulary, and how often each fell."""
    fell = [f.verdict for _, f in report.findings()]
    return [VerdictRow(v, SIGN[v], MEANING[v], fell.count(v)) for v in Verdict]


@dataclass(frozen=True)
class FaultView:
    """Something in the way of parity: where, in rows of (label, text), and its worst elements."""

    title: str
    place: str
    verdict: Verdict
    sign: str
    rows: tuple[tuple[str, str], ...]
    elements: tuple[Element, ...]
    run: Run
    finding: Finding


def fault_views(report: Report) -> tuple[list[FaultView], int]:
    """Each fault once, the worst first; and how many more there are."""
    found = faults(report)
    views = []
    for wrong in found[:TOLD]:
        f = wrong.finding
        place = f"at node {f.node}" if f.node else ""
        place += f", {f.op}" if f.op else ""
        rows = [(label, said) for label, said in told(wrong) if label != "worst"]
        rows.sort(key=lambda row: row[0] != "why")  # what a reader wants to know first
        views.append(
            FaultView(
                f.quantity, place, f.verdict, SIGN[f.verdict], tuple(rows), f.worst, wrong.run, f
            )
        )
    return views, len(found) - len(views)


def differences(report: Report) -> tuple[list[Difference], int]:
    """Implementation against implementation; of many, those that tell something, and how many not.

    Without parity, with another choice, or the largest of its pair and dtype.
    """
    found = list(report.differences)
    if len(found) <= PAIRS:
        return found, 0
    largest: dict[tuple[str, str, str], Difference] = {}
    for d in found:
        pair = d.first, d.second, d.dtype
        if not d.choices and (pair not in largest or d.units > largest[pair].units):
            largest[pair] = d
    telling = [d for d in found if d.parity is not True or d.choices or d in largest.values()]
    return telling, len(found) - len(telling)


@dataclass(frozen=True)
class KinkRow:
    """A gradient at a kink: what is valid, and who took what (with what each usually takes)."""

    case: str
    quantity: str
    op: str
    count: int
    undetermined: int
    reference: str
    valid: str
    taken: tuple[tuple[str, str, str], ...]


def kinks(report: Report) -> list[KinkRow]:
    """The kinks: a row per case and gradient, the same choice of several told together."""
    met: dict[tuple[str, str], list[tuple[Run, Finding]]] = {}
    for run, f in report.findings():
        if f.kinks:
            met.setdefault((run.case, f.quantity), []).append((run, f))
    rows = []
    for (case, quantity), those in met.items():
        first = those[0][1]
        assert first.kinks is not None
        taken: dict[tuple[str, str], list[str]] = {}
        for run, f in those:
            if f.kinks:
                said = ", ".join(f"{what} ({n} times)" for what, n in f.kinks.taken.items())
                taken.setdefault((said or "undetermined", f.kinks.usual), []).append(run.column)
        rows.append(
            KinkRow(
                case, quantity, first.op, first.kinks.count, first.kinks.undetermined,
                first.kinks.reference, first.kinks.valid,
                tuple((_listed(who), said, usual) for (said, usual), who in taken.items()),
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True)
class ConventionRow:
    """A named alternative that explains something: whose, how often, and whether it is meant."""

    name: str
    meaning: str
    who: str
    quantities: int
    declared: bool


def conventions(report: Report) -> list[ConventionRow]:
    """Those that were found, with the version of who has them."""
    found: dict[tuple[str, str, bool], int] = {}
    for run, f in report.findings():
        if f.convention:
            key = f.convention, _versioned(report, run.adapter), f.declared
            found[key] = found.get(key, 0) + 1
    meaning = dict(NAMES)
    return [
        ConventionRow(
            name, "; ".join(meaning.get(part, "") for part in name.split("+")), who, n, declared
        )
        for (name, who, declared), n in found.items()
    ]


def unseen(report: Report) -> list[str]:
    """Names that were looked for wherever something was wrong, and explain nothing here."""
    seen = {part for _, f in report.findings() for part in f.convention.split("+")}
    return [name for name, _ in NAMES if name not in seen]


def _versioned(report: Report, adapter: str) -> str:
    found = report.environment.get(adapter)
    return f"{adapter} {found}" if found else adapter


@dataclass(frozen=True)
class PowerRow:
    adapter: str
    dtype: str
    power: Power


def powers(report: Report) -> list[PowerRow]:
    """The detection power for each implementation and dtype."""
    found: dict[tuple[str, str], list[Power]] = {}
    for run, f in report.findings():
        if f.power:
            found.setdefault((_versioned(report, run.adapter), run.dtype), []).append(f.power)
    return [PowerRow(adapter, dtype, Power.worst_of(p)) for (adapter, dtype), p in found.items()]
