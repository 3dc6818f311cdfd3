"""Parameters that one of two programs moves in a step, and the other one does not."""

from __future__ import annotations

from collections.abc import Collection

from ...core.network.states import State
from ..findings.finding import Verdict
from ..recording.recording import Recording
from .programs.partners import Partners
from .programs.side import Side

__all__ = ["moved_alone"]

STILL = "it does not change there: no step of the other program moves {!r}"
ALONE = "the other program leaves no parameter after a step that it is the same as"


def moved_alone(one: Side, other: Side, left: Collection[str]) -> dict[str, tuple[Verdict, str]]:
    """Name of a state of `one` -> what it means that the other program leaves no such parameter.

    A step that moves other parameters and not this one is a mismatch.  Without any step that is
    known, it is unknown whether they are the same.

    Parameters
    ----------
    left : the states of `one` without a partner.
    """
    here, there = one.program.recording, other.program.recording
    known = there.updates and not there.steps_unjudged
    found = {}
    for name in _moved(one):
        state = here.states.get(name)
        if name not in left or state is None or not state.is_changed:
            continue
        still = _still(state, name, other) if known else ""
        said = STILL.format(still) if still else ALONE
        found[name] = (Verdict.MISMATCH if still else Verdict.INCONCLUSIVE, said)
    return found


def _moved(side: Side) -> list[str]:
    """The states of a program that are its parameters after a step."""
    recording = side.program.recording
    if recording.updates:
        return _by_updates(recording)
    found: dict[str, str] = {}
    for name in sorted(recording.states, key=lambda n: n.count(".")):
        state = recording.states[name]
        for leaf, value in side.program.leaves.items():
            if not (name == leaf or name.endswith(f".{leaf}")) or leaf in found:
                continue
            start = state.before[0] if state.is_known and state.before else None
            if start is not None and Partners({name: start}, side.program.near).has(value):
                found[leaf] = name
    return [*found.values()]


def _by_updates(recording: Recording) -> list[str]:
    every = (moved.name for update in recording.updates for moved in update.parameters)
    return list(dict.fromkeys(every))


def _still(state: State, name: str, other: Side) -> str:
    """The parameter of the other program that starts alike, and that no step moves; "" if none."""
    moved, leaves = _by_updates(other.program.recording), other.program.leaves
    pool = Partners(leaves, other.program.near)
    alike = [n for before in state.before for n in pool.of(before)]
    same = [n for n in alike if n == name] or alike
    unmoved = [n for n in same if n not in moved]
    return unmoved[0] if unmoved and len(unmoved) == len(same) else ""
