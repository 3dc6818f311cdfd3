"""Allowed sums and means: of all that a network has, they have to be meant in one place alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR
from ...core.network.quantity import Quantity
from ..explain.allowed import REDUCTIONS
from ..findings.finding import Finding

__all__ = ["meant_alike", "meant_once"]

#: The nodes that the loss is made of.
LOSS = (DIV, ERR)


def meant_once(
    case: Case, findings: list[Finding], arrived: Iterable[Finding] = ()
) -> list[Finding]:
    """Accept an allowed sum for the mean at the loss or in parameters; at both it would be T^2.

    Unless the one undoes the other: sums on the way, and the mean taken in the parameters.

    Parameters
    ----------
    case, findings : judged at their nodes.
    arrived : of gradients that were judged from end to end, and bring what the risk had.
    """
    reduced = [f for f in findings if f.declared and f.convention in REDUCTIONS]
    risk = [f for f in findings if f.node in LOSS and f.quantity.is_gradient]
    names = (f.convention.split("+") for f in (*risk, *arrived) if f.declared)
    at_risk = REDUCTIONS & {name for both in names for name in both}

    def excused(f: Finding) -> bool:
        undone = {f.convention, *at_risk} == {"sum", "mean"}
        return f.node in LOSS or (f.final and (undone or not at_risk))

    found = [replace(f, declared=False) if f in reduced and not excused(f) else f for f in findings]
    return meant_alike(case, found)


def meant_alike(case: Case, findings: list[Finding]) -> list[Finding]:
    """Accept an allowed reduction only if every parameter gradient has it."""

    def reduction(f: Finding) -> frozenset[str]:
        return REDUCTIONS & set(f.convention.split("+")) if f.declared else frozenset()

    parameters = {*map(Quantity.grad, case.network.trained)}
    told = [f for f in findings if f.quantity in parameters]
    told = [f for f in told if f.verdict.parity or f.convention]
    if len({reduction(f) for f in told}) < 2:
        return findings
    mixed = "; the gradients of other parameters are reduced otherwise"
    return [
        replace(f, declared=False, note=f.note + mixed) if f in told and reduction(f) else f
        for f in findings
    ]
