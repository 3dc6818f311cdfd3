"""Values that are concatenated or stacked in another order before a node takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.layers import Concatenate, Multiply
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.vocabulary.pairs import Divide
from ....core.vocabulary.pointwise import Scale
from ....core.vocabulary.rearranging import Stack
from ..programs.edits import Edit, values_of
from ..programs.repeats import on_its_line
from ..programs.side import Side

__all__ = ["other_joins", "other_parts"]

#: How many nodes before one without a partner are looked at, and the most inputs exchanged.
BEFORE, INPUTS = 4, 4
#: The most elements of what is joined.
MOST = 500_000
#: Through how many ops a layer's product may go before anything of it has a partner.
THROUGH = 1


@dataclass(frozen=True)
class _Reordered(Op):
    """An op that takes its inputs in another order.

    Attributes
    ----------
    op, order : the op, and which of the inputs it takes first, second, and so on.
    """

    op: Op
    order: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        made: Array = self.op.forward(*(y[i] for i in self.order))
        return made


@dataclass(frozen=True)
class _OnParts(Op):
    """An op on some parts of its input, while the others stay as they are.

    Attributes
    ----------
    op, slot : the op, and the input that has parts.
    axis, ends, kept : along which the parts lie, where each but the last ends, and which stay.
    """

    op: Op
    slot: int
    axis: int
    ends: tuple[int, ...]
    kept: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        own, made = (np.split(np.asarray(a), self.ends, self.axis)
                     for a in (y[self.slot], self.op.forward(*y)))  # fmt: skip
        each = [(own if i in self.kept else made)[i] for i in range(len(own))]
        return np.concatenate(each, self.axis)


def other_parts(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of a factor that only some of several joined values have there."""
    for join in (call, *_moved_before(side, call)):
        users = side.program.users.get(join.names[0], ())
        if not isinstance(join.op, Concatenate) or not 1 < len(join.inputs) <= INPUTS:
            continue
        sizes = [o.array.shape[join.op.axis] for o in join.inputs]
        ends = tuple(int(n) for n in np.cumsum(sizes)[:-1])
        for user in (side.nodes[u] for u in dict.fromkeys(users)):
            slots = [i for i, o in enumerate(user.inputs) if o.source]
            single = all(o.array.size == 1 for o in user.inputs if not o.source)
            scales = isinstance(user.op, Multiply | Divide | Scale) and len(slots) == 1
            if not (scales and single) or user.place.node in side.edits:
                continue
            for n in range(1, len(sizes)):
                for kept in combinations(range(len(sizes)), n):
                    names = [join.inputs[i].source or f"constant {i + 1}" for i in kept]
                    said = f"{user.op.name} left out {{there}} for {', '.join(names)}"
                    op = _OnParts(user.op, slots[0], join.op.axis, ends, kept)
                    if side.loss_pairs(user, edit := Edit(said, op), other):
                        yield [user.place.node], edit


def other_joins(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of joined values in another order, with which a call has a partner.

    The elements of what is joined are the same in any order, so the node that takes them is the
    first without a partner.
    """
    moved = _moved_before(side, call)
    for join in (c for c in moved if isinstance(c.op, Concatenate | Stack)):
        node, n = join.place.node, len(join.inputs)
        y = values_of(join, side.value)
        if node in side.edits or not 1 < n <= INPUTS or sum(a.size for a in y) > MOST:
            continue
        later = [*(c for c in moved[::-1] if c is not join), call]
        for order in permutations(range(n)):
            if order == (*range(n),):
                continue
            op = _Reordered(join.op, order)
            z = np.asarray(op.forward(*y))
            made = side.made_of({join.names[0]: z}, later, call)
            if made is not None and side.pairs(call.names[0], made, other, THROUGH):
                names = [o.source or f"constant {i + 1}" for i, o in enumerate(join.inputs)]
                own, there = ", ".join(names), ", ".join(names[i] for i in order)
                said = f"its inputs are in the order {own} {{here}} and {there} {{there}}"
                yield on_its_line(side, node), Edit(said, op)


def _moved_before(side: Side, call: Call) -> list[Call]:
    """The calls that only rearrange or join what a call takes, the last first."""
    makers = {name: c for c in side.program.calls for name in c.names}
    found: dict[str, Call] = {}
    near = [call]
    for _ in range(BEFORE):
        before = (makers[o.source] for c in near for o in c.inputs if o.source in makers)
        near = [c for c in before if isinstance(c.op, Movement | Concatenate | Stack)]
        found.update((c.place.node, c) for c in near)
    position = {c.place.node: i for i, c in enumerate(side.program.calls)}
    return sorted(found.values(), key=lambda c: -position[c.place.node])
