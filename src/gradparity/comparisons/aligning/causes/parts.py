"""A part of a value, such as all but its diagonal, where the other program takes the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.programs.indexing import Index
from ....core.vocabulary.rearranging import Slice
from ..programs.edits import Edit, computed, wide
from ..programs.values import Program

__all__ = ["wholes"]

#: How many nodes before another one a part is taken, and the fewest elements of a whole.
STEPS, FEWEST = 8, 4


@dataclass(frozen=True)
class _OnFlat(Op):
    """An op on the elements of its input in one axis."""

    op: Op

    def forward(self, *y: Array) -> Array:
        made: Array = self.op.forward(np.ravel(np.asarray(y[0])))
        return made


def wholes(call: Call, program: Program, value: Mapping[str, NDArray]) -> Iterator[Edit]:
    """Yield a node applied to a whole value, of which it takes a part several steps later."""
    if len(call.inputs) != 1 or isinstance(call.op, Movement | Slice | Index):
        return
    makers = {name: c for c in program.calls for name in c.names}
    name, rank = call.inputs[0].source, call.inputs[0].array.ndim
    steps: list[Call] = []
    while name in makers and len(steps) < STEPS:
        made = makers[name]
        given = [i for i, o in enumerate(made.inputs) if o.source]
        if len(given) != 1 or not isinstance(made.op, Movement | Slice | Index):
            break
        steps.insert(0, made)
        name = made.inputs[given[0]].source
        whole = value.get(name)
        taken = [c for c in steps if isinstance(c.op, Slice | Index)]
        moved = name in makers and isinstance(makers[name].op, Movement)
        if whole is None or whole.size < FEWEST or not taken or (moved and len(steps) < STEPS):
            continue
        which = _which(steps, whole.shape)
        nodes = ", ".join(c.place.node for c in taken)
        said = f"only a part of {name}{which} is taken {{here}}, and the whole of it {{there}}: "
        said += f"{nodes} left out {{there}}"
        yield Edit(said, _OnFlat(call.op) if rank == 1 else call.op, {0: name}, plain=False)


def _which(steps: list[Call], shape: tuple[int, ...]) -> str:
    """The part of a matrix that several nodes take, in words; "" if it is another one."""
    ids = np.arange(np.prod(shape), dtype=float).reshape(shape)
    taken: NDArray = ids
    for c in steps:
        if any(o.source and o.array.size != taken.size for o in c.inputs):
            return ""  # a change before made it another one
        y = [taken.reshape(o.array.shape) if o.source else wide(o.array) for o in c.inputs]
        made = computed(c.op, y, {})
        if len(made) != 1:
            return ""
        taken = made[0]
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return ""
    kept = np.isin(ids, taken)
    rows, columns = np.indices(shape)[-2:]
    parts = {
        "without its diagonal": rows != columns,
        "above its diagonal": rows < columns,
        "below its diagonal": rows > columns,
        "on and above its diagonal": rows <= columns,
        "on and below its diagonal": rows >= columns,
    }
    return next((f", the one {s}," for s, part in parts.items() if (kept == part).all()), "")
