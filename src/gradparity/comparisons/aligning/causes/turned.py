"""Gates that are 1 - z in the other program: an update gate keeps the old state, or the new one."""

from __future__ import annotations

from collections.abc import Iterator

from ....core.formulas.activations import Sigmoid
from ....core.network.calls import Call
from ..programs.edits import Edit
from ..programs.side import Side

__all__ = ["turned"]

#: How many steps before a call without a partner its gates may be.
EARLIER = 4


def turned(side: Side, call: Call) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of the sigmoids shortly before a call, turned."""
    near, seen = [call], {call.place.node}
    for _ in range(EARLIER):
        taken = dict.fromkeys(o.source for c in near for o in c.inputs)
        made = [side.makers[name] for name in taken if name in side.makers]
        near = [c for c in made if c.place.node not in seen]
        seen.update(c.place.node for c in near)
        for c in near:
            if isinstance(c.op, Sigmoid) and c.place.node not in side.edits:
                said = "it is 1 - z {there} in place of z"
                yield [c.place.node], Edit(said, c.op, times=-1.0, plus=1.0, plain=False)
