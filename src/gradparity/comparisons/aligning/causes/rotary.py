"""Rotary embeddings of the other layout: pairs of neighbours, or of the two halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.vocabulary.rearranging import Slice
from ..programs.edits import Edit, values_of
from ..programs.side import Side

__all__ = ["other_rotations"]

#: The most nodes of a rotation, and the fewest elements of what is rotated.
MOST, FEWEST = 16, 4


@dataclass(frozen=True, eq=False)
class _Arranged(Op):
    """An op with the last axis of one input, or of the result if `slot` is None, rearranged."""

    op: Op
    slot: int | None
    order: NDArray

    def forward(self, *y: Array) -> Array:
        taken = [a[..., self.order] if i == self.slot else a for i, a in enumerate(y)]
        z: Array = self.op.forward(*taken)
        return np.asarray(z)[..., self.order] if self.slot is None else z


class _Rotation(NamedTuple):
    """The nodes of a rotation.

    Attributes
    ----------
    takes : those that take what is rotated, with the slots.
    gives : the one that gives the result.
    ops : the types of all of them, in their order.
    """

    takes: tuple[tuple[Call, int], ...]
    gives: Call
    ops: tuple[type[Op], ...]


def other_rotations(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of a rotation by the other pairs, with which its value has a partner.

    The pairs are those of every rotation that the same line makes.
    """
    for o in call.inputs:
        z = side.value.get(o.source)
        if z is None or z.ndim < 2 or z.shape[-1] % 2 or z.shape[-1] < FEWEST:
            continue
        halves = np.arange(z.shape[-1]).reshape(2, -1).T.ravel()
        for order, here, there in (
            (np.argsort(halves), "the halves", "neighbours"),
            (halves, "neighbours", "the halves"),
        ):
            first = _rotation(side, o.source, order, other)
            if first is None:
                continue
            each: dict[str, Edit] = {}
            for name in dict.fromkeys(_alike(side, call)):
                found = _rotation(side, name, order, other, first.ops)
                for user, slot in found.takes if found else ():
                    each[user.place.node] = Edit("", _Arranged(user.op, slot, order))
                if found:
                    back = np.argsort(order)
                    each[found.gives.place.node] = Edit("", _Arranged(found.gives.op, None, back))
            said = f"its rotary embedding turns pairs of {here} {{here}} and of {there} {{there}}"
            yield [*each], Edit(said, call.op, each=each)


def _alike(side: Side, call: Call) -> Iterator[str]:
    """The values that the nodes on the line of a call take, in any layer."""
    for c in side.program.calls:
        if c is call or (c.place.source == call.place.source != "" and type(c.op) is type(call.op)):
            yield from (o.source for o in c.inputs if o.source in side.value)


def _rotation(
    side: Side, name: str, order: NDArray, other: Side, like: tuple[type[Op], ...] = ()
) -> _Rotation | None:
    """The rotation of a value of which the result has a partner, if it takes it rearranged.

    Or one of the same ops as another, which may be behind a difference.
    """
    z = side.value[name]
    if not z.ndim or z.shape[-1] != order.size:
        return None
    value: dict[str, NDArray] = {name: z[..., order]}
    takes: list[tuple[Call, int]] = []
    ops: tuple[type[Op], ...] = ()
    todo = [side.nodes[node] for node in side.program.users.get(name, ())]
    for c in todo:
        slots = [i for i, o in enumerate(c.inputs) if o.source == name]
        known = all(not o.source or o.source in value for o in c.inputs)
        if not known or c.names[0] in value or c.place.node in side.edits:
            continue
        made = side.first(Edit("", c.op), values_of(c, {**side.value, **value}))
        if made is None or len(value) > MOST:
            return None
        takes += [(c, i) for i in slots]
        ops += (type(c.op),)
        value[c.names[0]] = made
        whole = made.size == z.size and made.shape[-1] == order.size and not slots
        pairs = not isinstance(c.op, Movement | Slice) and other.partners.has(made)
        if whole and (ops == like if like else pairs):
            return _Rotation(tuple(takes), c, ops)
        todo += [side.nodes[node] for node in side.program.users.get(c.names[0], ())]
    return None
