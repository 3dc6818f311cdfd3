"""Sections of a page about the whole report: verdict, faults, kinks, conventions, power."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ...explain.allowed import NAMES
from ...findings.finding import KinkSummary, Power, Verdict, choice_in_words
from ...findings.layout import grouped
from ..causes import Cause
from ..diagnosis import headline, rows, runs_of
from ..records import WORD, Difference
from ..report import Report

__all__ = [
    "FAULTS",
    "KINKS",
    "ConventionRow",
    "KinkRow",
    "conventions",
    "differences",
    "fault_rows",
    "in_words",
    "kinks",
    "powers",
    "unseen",
    "verdicts",
]

#: Maximum number of faults, of pairs of implementations, and of gradients at kinks, before the rest
#: is only counted.
FAULTS, PAIRS, KINKS = 40, 24, 200


def in_words(report: Report) -> tuple[str, str, str]:
    """The verdict as one word and one sentence, and the extent of the comparison."""
    word = WORD[report.exit_code].capitalize()
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
        f"{runs_of(report)}: {sum(f.elements for f in findings)} elements, each one compared."
    )
    return word, f"{said}.", compared


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def verdicts(report: Report) -> dict[Verdict, int]:
    """The number of quantities with each verdict, for the whole vocabulary."""
    found = Counter(f.verdict for _, f in report.findings())
    return {verdict: found[verdict] for verdict in Verdict}


def fault_rows(cause: Cause) -> list[tuple[str, str]]:
    """(label, text) of each fact about a cause, the explanation first; a table has the elements."""
    return sorted((row for row in rows(cause) if row[0] != "worst"), key=lambda r: r[0] != "why")


def differences(report: Report) -> tuple[list[Difference], int]:
    """The differences between implementations, and the number of those left out.

    Of many, the page shows those without parity, those with different choices, and the largest of
    each pair and dtype.
    """
    found = list(report.differences)
    if len(found) <= PAIRS:
        return found, 0
    largest: dict[tuple[str, str, str], Difference] = {}
    for d in found:
        pair = d.first, d.second, d.dtype
        if not d.choices and (pair not in largest or d.units > largest[pair].units):
            largest[pair] = d
    shown = [d for d in found if d.parity is not True or d.choices or d in largest.values()]
    return shown, len(found) - len(shown)


@dataclass(frozen=True)
class KinkRow:
    """A gradient at a kink; `taken` has (implementations, choice, default of the framework)."""

    case: str
    quantity: str
    op: str
    count: int
    undetermined: int
    reference: str
    valid: str
    taken: tuple[tuple[str, str, str], ...]


def kinks(report: Report) -> list[KinkRow]:
    """The kinks: a row per case and gradient, implementations grouped by choice."""
    met = grouped(
        ((run.case, f.quantity), (run, f, f.kinks)) for run, f in report.findings() if f.kinks
    )
    found = []
    for (case, quantity), those in met.items():
        _, first, k = those[0]
        taken = grouped(((_taken(each), each.usual), run.column) for run, _, each in those)
        choices = tuple((_listed(who), *choice) for choice, who in taken.items())
        found.append(
            KinkRow(
                case, quantity, first.op, k.count, k.undetermined, k.reference, k.valid, choices
            )
        )
    return found


def _taken(kinks: KinkSummary) -> str:
    choices = [f"{choice_in_words(what)} ({n} times)" for what, n in kinks.taken.items()]
    return ", ".join(choices) or "undetermined"


@dataclass(frozen=True)
class ConventionRow:
    """A convention that explains a result: its user, the number of quantities, if it is allowed."""

    name: str
    meaning: str
    who: str
    quantities: int
    declared: bool


def conventions(report: Report) -> list[ConventionRow]:
    """The conventions that were found, with the version of the implementation."""
    found = Counter(
        (f.convention, _versioned(report, run.adapter), f.declared)
        for run, f in report.findings()
        if f.convention
    )
    meaning = dict(NAMES)
    return [
        ConventionRow(
            name, "; ".join(meaning.get(part, "") for part in name.split("+")), who, n, declared
        )
        for (name, who, declared), n in found.items()
    ]


def unseen(report: Report) -> list[str]:
    """The known conventions that explain no result of this report."""
    seen = {part for _, f in report.findings() for part in f.convention.split("+")}
    return [name for name, _ in NAMES if name not in seen]


def _versioned(report: Report, adapter: str) -> str:
    found = report.environment.get(adapter)
    return f"{adapter} {found}" if found else adapter


def powers(report: Report) -> dict[tuple[str, str], Power]:
    """The detection power by implementation and dtype."""
    found = grouped(
        ((_versioned(report, run.adapter), run.dtype), f.power)
        for run, f in report.findings()
        if f.power
    )
    return {key: Power.worst_of(each) for key, each in found.items()}
