"""Parameters that the other program does not use, such as a learned initial state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..programs.edits import Edit, values_of
from ..programs.side import Side
from ..programs.values import Program

__all__ = ["unused_parameters"]

#: The most parameters that are tried.
MOST = 4


def unused_parameters(side: Side, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of the calls that take a parameter, with zeros in its place."""
    own, there = _needed(side.program), _needed(other.program)
    leaves = ((n, a) for n, a in side.program.leaves.items() if n in own)
    unused = [n for n, a in leaves if not there & set(other.partners.of(a))]
    for name in unused[:MOST]:
        nodes = list(dict.fromkeys(side.program.users.get(name, ())))
        if not nodes or any(node in side.edits for node in nodes):
            continue
        said = (
            f"{name} is left out {{there}}, and zeros stand in its place, such as for an initial "
        )
        said += "state"
        each = {}
        for node in nodes:
            call = side.nodes[node]
            y = values_of(call, side.value)
            slots = [i for i, o in enumerate(call.inputs) if o.source == name]
            each[node] = Edit(said, call.op, {i: np.zeros_like(y[i]) for i in slots}, plain=False)
        first = each[nodes[0]]
        yield nodes, Edit(said, first.op, first.inputs, plain=False, each=each)


def _needed(program: Program) -> set[str]:
    """The names of the values that a loss is made of."""
    found = set(program.losses)
    for call in reversed(program.calls):
        if found & set(call.names):
            found.update(o.source for o in call.inputs if o.source)
    return found
