"""Table cells: the worst verdict of some findings as sign and word, its error, its heat."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ...findings.elements import Element
from ...findings.finding import Finding, Verdict
from ..records import share

__all__ = ["MEANING", "SIGN", "Cell", "both", "cell", "number", "worst"]

#: Signs of the verdicts, so that colour is never the only distinction.
SIGN = {
    Verdict.EXACT: "=",
    Verdict.ROUNDING: "✓",
    Verdict.SUBGRADIENT: "◇",
    Verdict.LOSSY: "~",
    Verdict.VACUOUS: "·",
    Verdict.INCONCLUSIVE: "?",
    Verdict.IMPRECISE: "≈",
    Verdict.CONVENTION: "⇄",
    Verdict.MISMATCH: "✗",
}

MEANING = {
    Verdict.EXACT: "bitwise what rounding the reference gives",
    Verdict.ROUNDING: "inside what a correct implementation at this precision can return",
    Verdict.SUBGRADIENT: "at a kink: a valid choice other than the one the network names",
    Verdict.LOSSY: "right for a usual form, which loses more than half of the digits somewhere",
    Verdict.VACUOUS: "says nothing: the signal is zero, or below its own bound",
    Verdict.INCONCLUSIVE: "cannot be decided, with the reason",
    Verdict.IMPRECISE: "right in float64, worse at this dtype than a correct implementation",
    Verdict.CONVENTION: "exactly right for a named alternative",
    Verdict.MISMATCH: "none of these, or not finite where the formula is",
}

#: Upper ends of the steps of the heat map, in u.
HEAT = (0.0, 0.1, 1.0, 10.0, 100.0, 1e4, 1e8)


@dataclass(frozen=True)
class Cell:
    """The worst of some findings.

    Attributes
    ----------
    verdict, parity : those of the worst finding.
    error, bound : in u, as text.
    heat : the step of the heat map, from 0 (an error of zero) to `len(HEAT)`.
    declared : whether it is an allowed convention.
    """

    verdict: Verdict
    error: str
    bound: str
    heat: int
    parity: bool | None
    declared: bool


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The finding with the worst verdict, then nearest to its bound; vacuous ones come last."""

    def badness(f: Finding) -> tuple[int, float]:
        silent = f.verdict is Verdict.VACUOUS
        return (-1 if silent else 0 if f.declared else f.verdict.badness), share(f)

    return max(findings, key=badness, default=None)


def cell(findings: Iterable[Finding]) -> Cell | None:
    """The cell of the worst finding; None without findings."""
    f = worst(findings)
    if f is None:
        return None
    error, bound = (number(f.error), number(f.bound)) if f.elements else ("", "")
    heat = len(HEAT) if math.isnan(f.error) else sum(f.error > step for step in HEAT)
    return Cell(f.verdict, error, bound, heat, f.parity, f.declared)


def number(x: float) -> str:
    """Two significant digits, or an integer from 100 to 1e5, for a table."""
    return f"{x:.0f}" if 100 <= x < 1e5 else f"{x:.2g}"


def both(e: Element) -> tuple[str, str]:
    """Received and expected value, with enough digits to differ."""
    short = f"{e.got:.9g}", f"{e.expected:.9g}"
    same = short[0] == short[1] and e.got != e.expected
    return (f"{e.got:.17g}", f"{e.expected:.17g}") if same else short
