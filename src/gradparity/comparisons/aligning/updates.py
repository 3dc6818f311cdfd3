"""The step of an optimizer in a recording: why another program's new parameters differ from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.states import State
from ..optimizers.causes import cause_of
from ..recording.recording import Recording

__all__ = ["cause_of_step", "is_stepped"]


def is_stepped(recording: Recording, name: str) -> bool:
    """Whether a state is a parameter that an optimizer moved, or one of its own for it."""
    every = (m for update in recording.updates for m in update.parameters)
    return any(name in (m.name, *(f"{m.name}.{state}" for state in m.new)) for m in every)


def cause_of_step(recording: Recording, name: str, other: State) -> str:
    """The setting with which the only step here makes the new parameter of the other program.

    It is "" if there is none, or several steps.
    """
    found = [(u, m) for u in recording.updates for m in u.parameters if m.name == name]
    if len(found) != 1:
        return ""
    update, moved = found[0]
    after = _arranged(moved.before, other)
    if after is None:
        return ""
    made = replace(moved, after=after, new={})
    return cause_of([replace(update, parameters=(made,))], [name])


def _arranged(before: NDArray, other: State) -> NDArray | None:
    """The numbers after the step of a parameter of the other program, laid out as here."""
    for turn in (np.asarray, np.transpose):
        if any(np.array_equal(turn(start), before) for start in other.before):
            return np.asarray(turn(other.after))
    return None
