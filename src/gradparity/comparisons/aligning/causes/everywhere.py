"""Another number at one node, at all nodes that have the same one: such as eps of all norms.

Or the number left out, such as the 1 that is added to the forget gate in each step.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np

from ....core.network.calls import Call
from ..programs.edits import Edit, at_others, changes_a_number
from ..programs.side import Side

__all__ = ["everywhere"]


def everywhere(side: Side, node: str, edit: Edit) -> Edit | None:
    """A change of a number at every node that has it in the same role; None if there is one."""
    first = side.nodes[node]
    if not (changes_a_number(edit, first.op) or _leaves_out(edit, first)):
        return None
    alike = {
        name: made
        for name, call in side.nodes.items()
        if name not in side.edits and type(call.op) is type(first.op)
        if (made := _alike(call, first, edit)) is not None
    }
    others = len(alike) - 1
    if others < 1:
        return None
    return replace(edit, said=at_others(edit.said, others), each=alike)


def _leaves_out(edit: Edit, call: Call) -> bool:
    """Whether a change leaves out all inputs of a call but one, and these are numbers."""
    rest = [o for i, o in enumerate(call.inputs) if i != edit.keeps]
    return edit.keeps is not None and bool(rest) and all(
        not o.name and o.array.size and bool((o.array == o.array.flat[0]).all()) for o in rest
    )  # fmt: skip


def _alike(call: Call, first: Call, edit: Edit) -> Edit | None:
    """The same change of another call; None if that has another number there."""
    if edit.keeps is not None:
        if call.op != first.op or not _leaves_out(edit, call):
            return None
        left, there = ([o.array.flat[0] for o in c.inputs if not o.name] for c in (call, first))
        return edit if left == there else None
    if edit.inputs:
        for i in edit.inputs:
            o, own = call.inputs[i], first.inputs[i].array
            if o.name or not o.array.size or not (o.array == own.flat[0]).all():
                return None
        full = {
            i: np.full(call.inputs[i].array.shape, np.asarray(a).flat[0])
            for i, a in edit.inputs.items()
        }
        return Edit(edit.said, call.op, full) if call.op == first.op else None
    if not is_dataclass(first.op) or not is_dataclass(call.op):
        return None
    new = {f.name: getattr(edit.op, f.name) for f in fields(first.op)}
    changed = {n: value for n, value in new.items() if value != getattr(first.op, n)}
    if any(getattr(call.op, n) != getattr(first.op, n) for n in changed):
        return None
    try:
        return Edit(edit.said, replace(call.op, **changed))
    except (TypeError, ValueError):  # an argument that does not fit there
        return None
