"""Activations written out in several steps, and those of another factor of a product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.activations import GELU, Identity, SiLU
from ....core.formulas.layers import Multiply
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ..programs.edits import Edit
from ..programs.side import Side
from ..programs.values import are_near
from .replacements import ACTIVATIONS

__all__ = ["other_activations"]

#: How many nodes after an input an activation in steps may end, and the fewest elements of it.
STEPS, FEWEST = 12, 8


@dataclass(frozen=True)
class _OfOne(Op):
    """An activation of the first of several inputs.

    Attributes
    ----------
    op : the activation.
    """

    op: Op

    def forward(self, *y: Array) -> Array:
        made: Array = self.op.forward(y[0])
        return made


@dataclass(frozen=True)
class _OnFactor(Op):
    """A product of which one factor goes through an activation first.

    Attributes
    ----------
    op, slot : the activation, and the factor.
    """

    op: Op
    slot: int

    def forward(self, *y: Array) -> Array:
        each = [self.op.forward(a) if i == self.slot else a for i, a in enumerate(y)]
        return np.asarray(each[0] * each[1])


#: Activations by the words for them.
NAMED: dict[str, Op] = {
    **{repr(op) if isinstance(op, GELU) else op.name: op for op in ACTIVATIONS},
    "quick GELU, SiLU(b=1.702),": SiLU(1.702),
}


def other_activations(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of an activation near a call that differs in the other program."""
    with np.errstate(all="ignore"):
        found = [*_in_steps(side, call, other), *_of_the_other_factor(side, call, other)]
    yield from found


def _in_steps(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """An activation by its numbers, however it is computed, from a value that both have.

    One that the other program has in its place has the numbers of another activation.
    """
    lost, there = side.lost(other), other.lost(side)
    for source in dict.fromkeys(o.source for o in call.inputs if o.source in side.value):
        v = side.value[source]
        if v.size < FEWEST or source in lost:
            continue
        ends = [n for n in _after(side, source) if n in lost and side.value[n].shape == v.shape]
        rest = [other.value[n] for n in there if other.value[n].size == v.size]
        made = {said: np.asarray(op.forward(v)) for said, op in NAMED.items()} if ends else {}
        own = [(n, said) for n in ends for said, z in made.items()
               if are_near(side.value[n], z, side.near)]  # fmt: skip
        for name, said in own[:1]:
            if _is_activation(lost[name].op) and lost[name].inputs[0].source == source:
                continue  # one op, whose replacements are tried at its node
            for more, z in made.items():
                if more != said and _is_one_of(z, rest, side.near):
                    edit = Edit(
                        f"it is {said} of {source} {{here}} and {more} {{there}}",
                        _OfOne(NAMED[more]),
                        {0: source},
                    )
                    yield [lost[name].place.node], edit


def _is_one_of(a: NDArray, each: list[NDArray], near: float) -> bool:
    own = np.sort(a, axis=None)
    return any(are_near(np.sort(b, axis=None), own, near) for b in each)


def _after(side: Side, source: str) -> list[str]:
    """The values made of one in few steps, the nearest first."""
    found: dict[str, None] = {}
    names = [source]
    for _ in range(STEPS):
        users = dict.fromkeys(u for n in names for u in side.program.users.get(n, ()))
        names = [g for u in users for g in side.program.gives(side.nodes[u]) if g not in found]
        found.update(dict.fromkeys(names))
    return list(found)


def _is_activation(op: Op) -> bool:
    return not isinstance(op, Identity) and any(type(op) is type(a) for a in ACTIVATIONS)


def _of_the_other_factor(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """A gate on the other one of the two factors of a product, such as of a gated unit."""
    op = call.op
    if not _is_activation(op):
        return
    given = call.inputs[0].source
    for node in side.program.users.get(call.names[0], ()) if given else ():
        user = side.nodes[node]
        names = [o.source for o in user.inputs]
        if not isinstance(user.op, Multiply) or len(set(names)) != 2 or not all(names):
            continue
        slot = names.index(call.names[0])
        together = (given in c.names and names[1 - slot] in c.names for c in side.program.calls)
        if given in names or any(together):  # a gate on itself, or halves that are exchanged
            continue
        edit = Edit(
            f"{op.name} is applied to {given} {{here}} and instead to {names[1 - slot]} {{there}}",
            _OnFactor(op, 1 - slot),
            {slot: given},
        )
        z = side.first(edit, [side.value[n] for n in names])
        if z is not None and side.pairs(user.names[0], z, other):
            yield [node], edit
