"""A number that one program adds inside of a root and the other one outside of it: eps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.layers import Add
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.vocabulary.pointwise import Rsqrt, Scale, Sqrt
from ..programs.edits import Edit, values_of
from ..programs.repeats import repeats
from ..programs.side import Side

__all__ = ["other_roots"]


@dataclass(frozen=True)
class _Rooted(Op):
    """sqrt(v + eps), or sqrt(v) + eps; or one divided by it."""

    eps: float
    inside: bool
    divides: bool

    def forward(self, *y: Array) -> Array:
        root: Any = np.sqrt(y[0] + self.eps) if self.inside else np.sqrt(y[0]) + self.eps
        return 1.0 / root if self.divides else root


def other_roots(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of a root and the sum before or after it, if its value pairs then."""
    for first, last in _chains(side, call):
        inside = isinstance(last.op, Sqrt | Rsqrt)
        found = _added(first if inside else last)
        if found is None or (not inside and isinstance(first.op, Rsqrt)):
            continue
        slot, eps = found if inside else (0, found[1])
        divides = isinstance(last.op, Rsqrt)
        op = _Rooted(eps, not inside, divides)
        made = side.first(Edit("", op), (values_of(first, side.value)[slot],))
        if made is None or not side.pairs(last.names[0], made, other, 1):
            continue
        places = ("inside of", "outside") if inside else ("outside", "inside of")
        said = f"{eps:.6g} is added {places[0]} the root {{here}} and {places[1]} it {{there}}"
        kept = Edit("", first.op, keeps=slot)
        for nodes in repeats(side, first.place.node):
            each: dict[str, Edit] = {}
            for node in nodes:
                pair = next(
                    (b for a, b in _chains(side, side.nodes[node]) if a.place.node == node), None
                )
                if pair is not None:
                    each |= {node: kept, pair.place.node: Edit("", op)}
            yield [*each], Edit(said, call.op, each=each)


def _chains(side: Side, call: Call) -> Iterator[tuple[Call, Call]]:
    """Yield a sum and the root of it, or a root and the sum of it, one of which is a call."""
    before = [side.makers[o.name] for o in call.inputs if o.name in side.makers]
    after = [side.nodes[node] for name in call.names for node in side.program.users.get(name, ())]
    for a, b in (*((c, call) for c in before), *((call, c) for c in after)):
        if isinstance(a.op, Sqrt | Rsqrt) != isinstance(b.op, Sqrt | Rsqrt):
            yield a, b


def _added(call: Call) -> tuple[int, float] | None:
    """The slot that a number is added to, and that number; None for anything else."""
    if isinstance(call.op, Scale) and call.op.a == 1.0:
        return 0, call.op.b
    if isinstance(call.op, Add) and len(call.inputs) == 2:
        for i, o in enumerate(call.inputs):
            if not o.name and o.array.size and (o.array == o.array.flat[0]).all():
                return 1 - i, float(o.array.flat[0])
    return None
