"""The operations that lead from one value of a program to another."""

from __future__ import annotations

from collections.abc import Sequence

from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ..programs.values import Program

__all__ = ["chain", "listed"]

#: How many nodes back a value is looked for, and the most operations that are listed.
STEPS, LISTED = 12, 4


def chain(program: Program, start: str, end: str) -> tuple[Call, ...]:
    """The calls on all ways from one value to another, in their order; empty if there are none."""
    makers = {name: c for c in program.calls for name in c.names}
    earlier: dict[str, Call] = {}
    names = [end]
    for _ in range(STEPS):
        made = {n: makers[n] for n in names if n in makers and n not in earlier and n != start}
        earlier.update(made)
        names = [o.source for c in made.values() for o in c.inputs if o.source]
    calls = set(earlier.values())
    reached, found = {start}, []
    for call in program.calls:
        if call in calls and any(o.source in reached for o in call.inputs):
            reached.update(call.names)
            found.append(call)
    return tuple(found) if end in reached and end != start else ()


def listed(calls: Sequence[Call]) -> str:
    """The nodes of calls that compute something, the first few."""
    nodes = [c.place.node for c in calls if not isinstance(c.op, Movement)]
    more = f" and {len(nodes) - LISTED} more" if len(nodes) > LISTED else ""
    return f"{', '.join(nodes[:LISTED])}{more}"
