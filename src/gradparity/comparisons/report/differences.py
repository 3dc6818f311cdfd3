"""Compare two implementations: the conclusion from their verdicts, and the difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, exit_code
from .records import Difference

__all__ = ["Judged", "difference"]


class Judged(NamedTuple):
    """One implementation in one dtype: its results by name and its findings, for every case."""

    name: str
    arrays: list[dict[Quantity, NDArray]]
    findings: list[list[Finding]]


def difference(case: Case, i: int, first: Judged, second: Judged) -> Difference:
    """Compare two implementations of case number i."""
    findings = first.findings[i], second.findings[i]
    codes = {exit_code(f) for f in findings}
    parity = False if 1 in codes else None if 2 in codes else True
    unit = case.precision.unit
    worst, where = 0.0, Quantity("none")
    one, other = (j.arrays[i] for j in (first, second))
    for q in map(Quantity.grad, [*case.network.trained, *case.differentiated]):
        if q not in one or q not in other:
            continue
        a, b = (np.asarray(arrays[q], dtype=np.float64) for arrays in (one, other))
        scale = float(np.abs(a).max(initial=0.0)) * unit
        with np.errstate(all="ignore"):
            apart = float(np.abs(a - b).max(initial=0.0))
        units = apart / scale if scale else (0.0 if apart == 0.0 else float("inf"))
        if not units <= worst:
            worst, where = units, q
    names = first.name, second.name
    why = tuple(_attributed(case, i, first, second))
    choices = bool(why) or any(step.op.random for step in case.network.steps)
    return Difference(case.name, case.precision.name, *names, parity, where, worst, choices, why)


def _attributed(case: Case, i: int, first: Judged, second: Judged) -> Iterator[str]:
    """Describe gradients that differ because two implementations chose differently at a kink."""
    kinks = {f.quantity: f for f in second.findings[i] if f.kinks}
    for f in first.findings[i]:
        other = kinks.get(f.quantity)
        if f.kinks is None or other is None or other.kinks is None:
            continue
        same = f.kinks.taken == other.kinks.taken
        if same or "Random" in f.op:  # slopes are drawn, not chosen
            continue
        a, b = (j.arrays[i][f.quantity] for j in (first, second))
        tells = f" where {first.name} takes {f.kinks.choice} and {second.name} {other.kinks.choice}"
        n = int((a != b).sum())
        yield f"{n} elements of {f.quantity} differ at the kink of {f.op},{tells}"
