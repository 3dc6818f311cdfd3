"""The two limits of a value that is clipped by a maximum and a minimum, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.formulas.maxima import Maximum
from ....core.network.calls import Call
from ....core.vocabulary.pairs import Minimum
from ..programs.edits import Edit, values_of
from ..programs.side import Side

__all__ = ["other_limits"]


def other_limits(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of two limits, with which what is clipped has a partner."""
    first = _limit_of(call)
    if first is None:
        return
    numbers = other.program.roles.get("limit", ())
    for node in [u for name in call.names for u in side.program.users.get(name, ())]:
        second = _limit_of(side.nodes[node])
        if second is None or type(side.nodes[node].op) is type(call.op):
            continue
        own = call.inputs[first].array, side.nodes[node].inputs[second].array
        for a in numbers:
            for b in numbers:
                if a == b or (a < b) != isinstance(call.op, Maximum):
                    continue
                one = Edit("", call.op, {first: np.full(own[0].shape, a)})
                two = Edit("", side.nodes[node].op, {second: np.full(own[1].shape, b)})
                z = side.first(one, values_of(call, side.value))
                if z is None:
                    continue
                value = {**side.value, call.names[0]: z}
                made = side.first(two, values_of(side.nodes[node], value))
                if made is not None and side.pairs(side.nodes[node].names[0], made, other):
                    here = sorted(float(x.flat[0]) for x in own)
                    said = f"its limits are {here[0]:.6g} and {here[1]:.6g} {{here}}, and "
                    said += f"{min(a, b):.6g} and {max(a, b):.6g} {{there}}"
                    each = {call.place.node: one, node: two}
                    yield [*each], Edit(said, call.op, each=each)


def _limit_of(call: Call) -> int | None:
    """The slot of the number that limits a value; None if there is none."""
    if not isinstance(call.op, Maximum | Minimum):
        return None
    slots = (i for i, o in enumerate(call.inputs) if not o.source and o.array.size)
    return next((i for i in slots if (call.inputs[i].array == call.inputs[i].array.flat[0]).all()),
                None)  # fmt: skip
