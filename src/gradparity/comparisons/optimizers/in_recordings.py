"""Steps of optimizers in a recording: judged once, and explained where they are wrong."""

from __future__ import annotations

from dataclasses import replace

from ...core.network.quantity import Quantity
from ...core.optimizers.update import Clipping, Update
from ..findings.finding import Finding, Verdict
from .causes import cause_of
from .judge import findings_of_clipping, findings_of_parameter

__all__ = ["findings_of_clipped", "findings_of_update"]


def findings_of_update(update: Update, node: str) -> list[Finding]:
    """The findings of a parameter group; what cannot be decided leaves the step undecided alone."""
    found: list[Finding] = []
    wrong: list[str] = []
    for moved in update.parameters:
        own = list(findings_of_parameter(update, moved, node))
        if any(f.parity is False for f in own):
            wrong.append(moved.name)
        found += own
    cause = cause_of([update], wrong) if wrong else ""
    noted = (replace(f, note=cause) if f.parity is False else f for f in found)
    return [_in_recording(f) for f in noted]


def findings_of_clipped(clipping: Clipping, node: str) -> list[Finding]:
    """The findings of gradients that were clipped."""
    return [_in_recording(f) for f in findings_of_clipping(clipping, node)]


def _in_recording(f: Finding) -> Finding:
    """The finding named by its step, of which there may be several, such as "... by AdamW_1".

    A step that cannot be decided does not make the gradients of the recording undecided.
    """
    f = replace(f, quantity=Quantity(f"{f.quantity} by {f.node}"))
    if f.verdict is not Verdict.INCONCLUSIVE:
        return f
    note = "; ".join(filter(None, ("it cannot be decided at this precision", f.note)))
    return replace(f, verdict=Verdict.VACUOUS, note=note)
