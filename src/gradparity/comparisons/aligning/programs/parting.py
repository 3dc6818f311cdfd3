"""Where one of two programs parts from the other one, and what comes before and after."""

from __future__ import annotations

from collections.abc import Sequence

from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ....core.programs.indexing import Unstack
from ....core.vocabulary.rearranging import Split
from .edits import wide
from .prepared import tells
from .side import Side

__all__ = ["after", "healed_before", "parting", "preparations_of", "without_partner"]


def parting(one: Side, other: Side) -> list[Call]:
    """The calls at which `one` parts from `other`, the earliest first."""
    lost, healed = one.lost(other), one.healed(other)
    found: dict[str, Call] = {}
    skipped = _beyond_comparison(one, other) | _parts_of_all(one, other)
    for name, call in lost.items():
        if name in skipped:
            continue
        before = [o.name for o in call.inputs if o.name in lost and o.name not in skipped]
        explained = any(b not in healed and not one.is_layout(lost[b]) for b in before)
        if not explained and name not in healed and not one.is_layout(call):
            found.setdefault(call.place.node, call)
    return list(found.values())


def _beyond_comparison(one: Side, other: Side) -> set[str]:
    """The values of preparations with which nothing in the other program can be compared.

    That is so if that program has no preparation without a partner of as many numbers, or of
    what is made of a constant that it does not have.
    """
    mine = {n: call for n, call in one.lost(other).items() if one.is_preparation(call)}
    lost = {n for n, call in other.lost(one).items() if other.is_preparation(call)}
    sizes = {other.value[name].size for name in lost}
    alone = (
        (name, o)
        for name, call in mine.items()
        for o in call.inputs
        if not o.name and tells(o.array) and not other.partners.of(wide(o.array))
    )
    return {n for n in mine if one.value[n].size not in sizes} | {name for name, _ in alone}


def _parts_of_all(one: Side, other: Side) -> set[str]:
    """The parts without a partner of a value that `one` takes apart alone, such as in a loop.

    Together they are the whole of it; and what only rearranges such a part.  Where the other
    program takes it apart as well, in other parts, that may be the difference.
    """
    lost, there = one.lost(other), other.lost(one)
    also = {o.name for call in there.values() if _takes_apart(call) for o in call.inputs}
    parts: dict[str, list[str]] = {}
    for call in one.program.calls:
        if _takes_apart(call) and call.inputs[0].name not in lost:
            parts.setdefault(call.inputs[0].name, []).extend(one.program.gives(call))
    found: set[str] = set()
    for name, each in parts.items():
        whole = one.value.get(name)
        if whole is None or sum(one.value[part].size for part in each) < whole.size:
            continue
        if not also.intersection(other.partners.of(whole)):
            found.update(part for part in each if part in lost)
    for name, call in lost.items():
        if isinstance(call.op, Movement) and all(o.name in found for o in call.inputs):
            found.add(name)
    return found


def _takes_apart(call: Call) -> bool:
    """Whether a call gives a part of what it takes, or all of it in several."""
    if isinstance(call.op, Split | Unstack):
        return True
    if not isinstance(call.op, Movement) or len(call.inputs) != 1 or call.z[0] is None:
        return False
    return call.z[0].size < call.inputs[0].array.size


def without_partner(one: Side, other: Side) -> list[str]:
    """The nodes that give a value without a partner, in the order in which they ran.

    But those of which all that is made has one.
    """
    lost, healed = one.lost(other), one.healed(other)
    calls = (c for n, c in lost.items() if n not in healed and not one.is_layout(c))
    return list(dict.fromkeys(call.place.node for call in calls))


def after(nodes: Sequence[str], one: Side, other: Side) -> list[str]:
    """The nodes without a partner that take what these give, and what those give."""
    near, lost = list(nodes), set(without_partner(one, other))
    found: dict[str, None] = {}
    while near:
        given = [n for node in near for n in one.nodes[node].names]
        near = [u for n in given for u in one.program.users.get(n, ())]
        near = [u for u in dict.fromkeys(near) if u not in found and u in lost]
        found.update(dict.fromkeys(near))
    return list(found)


def healed_before(nodes: Sequence[str], one: Side, other: Side, steps: int) -> list[str]:
    """The nodes without a partner so few steps before others, of which all that is made pairs.

    What is made of such a value may still be taken in another order.
    """
    lost, near, found = one.lost(other), list(nodes), dict[str, None]()
    for _ in range(steps):
        taken = [o.name for node in near for o in one.nodes[node].inputs]
        made = [one.makers[n] for n in dict.fromkeys(taken) if n in one.makers]
        near = [c.place.node for c in made]
        each = (c for c in made if c.names[0] in lost and not one.is_layout(c))
        found.update((c.place.node, None) for c in each)
    return [node for node in found if node not in nodes]


def preparations_of(nodes: Sequence[str], one: Side, other: Side) -> list[str]:
    """The preparations without a partner that nodes take, and what these take, but nodes."""
    lost, makers = one.lost(other), one.makers
    found: dict[str, None] = {}
    near = list(nodes)
    while near:
        taken = [o.data for node in near for o in one.nodes[node].inputs if o.data in lost]
        near = [makers[name].place.node for name in taken if name in makers]
        near = [n for n in dict.fromkeys(near) if n not in found and n not in nodes]
        found.update(dict.fromkeys(near))
    return list(found)
