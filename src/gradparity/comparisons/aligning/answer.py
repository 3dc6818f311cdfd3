"""Whether two programs are the same, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from ..findings.finding import Finding, Verdict
from ..recording.recording import Recording
from ..report.records import Run
from .programs.values import Program

__all__ = ["answer", "formats_in_words", "unknown_in_words"]


def answer(one: Recording, other: Recording, findings: Sequence[Finding]) -> str:
    """Say whether two programs are the same, or where they first part and why.

    Parameters
    ----------
    findings : on the values of `one` and on the gradients.
    """
    wrong = [f for f in findings if f.parity is False]
    undecided = [f for f in findings if f.verdict is Verdict.INCONCLUSIVE]
    states = [f for f in findings if f.quantity.is_state]
    values = [f for f in findings if not f.quantity.is_gradient and not f.quantity.is_state]
    alone = sum(not f.elements for f in values)
    if wrong:
        first = wrong[0]
        where = ", ".join(filter(None, (first.module, first.source)))
        where = f"{first.node!r} ({where})" if where else f"{first.node!r}"
        what = "gradients first part" if first.quantity.is_gradient else "they first part"
        lead = "all values are the same; " if first.quantity.is_gradient else ""
        if first.quantity.is_state:
            what, lead = "states first part", "all values and gradients are the same; "
        places = len({(f.node, f.note) for f in wrong if not f.quantity.is_gradient})
        more = f" (and {places - 1} more)" if places > 1 else ""
        said = (
            f"{one.name!r} and {other.name!r} differ: {lead}{what} at {where}: {first.note}{more}"
        )
    elif undecided:
        gradients = ", ".join(f.quantity.name for f in undecided if not f.quantity.is_state)
        unknown = [f"the gradients by {gradients}"] if gradients else []
        left = ", ".join(f.node for f in undecided if f.quantity.is_state)
        unknown += [f"the states {left} after the step"] if left else []
        said = f"{one.name!r} and {other.name!r} have the same values, and it is unknown whether "
        said += f"{' and '.join(unknown)} are the same"
    else:
        said = f"{one.name!r} and {other.name!r} are the same: {len(values) - alone} of "
        said += f"{len(values)} values and all gradients pair"
        rest = "1 value has" if alone == 1 else f"{alone} values have"
        said += f", {rest} no partner and do{'es' * (alone == 1)} not matter" if alone else ""
        paired = sum(bool(f.elements) for f in states)
        said += f", and {paired} of {len(states)} states after the step" if paired else ""
        said += "; the other program leaves no such states" if states and not paired else ""
    if other.updates and not any(f.elements for f in states):
        said += f"; the parameters of {other.name!r} after its step are not compared"
    at_kinks = [f for f in findings if f.verdict is Verdict.SUBGRADIENT]
    if at_kinks:
        names = ", ".join(f.quantity.name for f in at_kinks)
        said += f"; the gradients by {names} differ at kinks alone: {at_kinks[0].note}"
    for recording in (one, other):
        if recording.unjudged:
            said += f"; {recording.name!r}: {recording.coverage_in_words}"
    return said


def unknown_in_words(recording: Recording, run: Run) -> str:
    """Say why it is unknown whether a program is right by itself; empty if it is known."""
    if run.exit_code != 2:
        return ""
    said = f"; it is unknown whether {recording.name!r} is right by itself: "
    undecided = [f for f in run.findings if f.verdict is Verdict.INCONCLUSIVE and f.node]
    if undecided:
        first = min(undecided, key=lambda f: bool(f.follows))
        return f"{said}{first.quantity}, {first.place}: {first.note}"
    zero = ", ".join(q.name for q in run.untested)
    return f"{said}the gradients by {zero} are zero or below their own bounds" if zero else ""


def formats_in_words(one: Program, other: Program, near: float) -> str:
    """Say in which number formats two programs compute, if in different ones."""
    here, there = (dict.fromkeys(call.precision for call in p.calls) for p in (one, other))
    if {*here} == {*there}:
        return ""
    said = f"; the numbers are {' and '.join(here)} here and {' and '.join(there)} there, "
    return f"{said}and compared in float64 to {max(round(-log10(near)), 1)} digits"
