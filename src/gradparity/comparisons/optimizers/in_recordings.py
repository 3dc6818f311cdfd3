"""Steps of optimizers in a recording: judged once, and explained where they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.optimizers.update import ChangedGradient, Clipping, Moved, Update
from ..explain.allowed import Alternative, as_convention
from ..findings.finding import Finding, Verdict
from .causes import cause_of
from .judge import finding_of_gradient, findings_of_clipping, findings_of_parameter

__all__ = ["finding_of_changed", "findings_of_clipped", "findings_of_update"]


def findings_of_update(update: Update, node: str) -> list[Finding]:
    """The findings of a parameter group; what cannot be decided leaves the step undecided alone."""
    found: list[Finding] = []
    wrong: list[str] = []
    taken = tuple(_as_taken(update, moved, node) for moved in update.parameters)
    update = replace(update, parameters=taken)
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


def finding_of_changed(changed: ChangedGradient, node: str, allow: Sequence[str]) -> Finding:
    """The finding of a gradient that was changed while a step ran: a named hook is a convention."""
    found = replace(finding_of_gradient(changed, node), verdict=Verdict.MISMATCH)
    what = f"the gradient of {changed.name}"
    done = "removed" if changed.after is None else "changed"
    if changed.by_step:
        note = f"{what} was {done} while {changed.step} ran, and not by a clipping that was seen"
        found = replace(found, note=note)
    else:
        hooks = ", ".join(changed.hooks)
        said = f"{what} was {done} while {changed.step} ran, by its hook {hooks}"
        found = as_convention(found, [Alternative("gradient-hook", None, said)], allow)
    return _in_recording(found)


def _as_taken(update: Update, moved: Moved, node: str) -> Moved:
    """The parameter with the gradient that the step took, where that may be one of two."""
    if moved.later is None:
        return moved
    other = replace(moved, gradient=moved.later)
    for each in (moved, other):
        if not any(f.parity is False for f in findings_of_parameter(update, each, node)):
            return each
    return moved


def _in_recording(f: Finding) -> Finding:
    """The finding named by its step, of which there may be several, such as "... by AdamW_1".

    A step that cannot be decided does not make the gradients of the recording undecided.
    """
    f = replace(f, quantity=f.quantity.by_step(f.node))
    if f.verdict is not Verdict.INCONCLUSIVE:
        return f
    note = "; ".join(filter(None, ("it cannot be decided at this precision", f.note)))
    return replace(f, verdict=Verdict.VACUOUS, note=note)
