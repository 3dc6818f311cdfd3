"""Cyclic shifts, such as of the windows of an image, by other amounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.layers import Concatenate
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.vocabulary.rearranging import Roll
from ..programs.edits import Edit, values_of
from ..programs.side import Side

__all__ = ["other_rolls"]

#: The most nodes before one without a partner, and before a roll, that are looked at.
EARLIER, BEFORE = 40, 8
#: The most shifts that are tried, and the most elements of what is shifted.
SHIFTS, MOST = 128, 200_000


@dataclass(frozen=True)
class _Rolled(Op):
    """An op whose value is rolled.

    Attributes
    ----------
    op, by, axes : the op, and the amount along each axis.
    """

    op: Op
    by: tuple[int, ...]
    axes: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        return np.roll(np.asarray(self.op.forward(*y)), self.by, self.axes)


def other_rolls(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of cyclic shifts before a call, with which its value has a partner."""
    before = _before(side, call, EARLIER)
    for c in before:
        own = _roll_of(side, c) if c.place.node not in side.edits else None
        if own is None:
            continue
        later = before[before.index(c) + 1 :] + ([call] if call is not c else [])
        z = side.value[c.names[0]]
        for by, axes in _shifts(z.shape):
            made = side.made_of({c.names[0]: np.roll(z, by, axes)}, later, call, every=True)
            if made is not None and side.pairs(call.names[0], made, other):
                said = f"it is {_in_words(own, {}, z.shape)} {{here}} and "
                said += f"{_in_words(own, dict(zip(axes, by, strict=True)), z.shape)} {{there}}"
                yield [c.place.node], Edit(said, _Rolled(c.op, by, axes))


def _before(side: Side, call: Call, most: int) -> list[Call]:
    """The calls that one depends on, the nearest of them, in the order in which they ran."""
    makers = {name: c for c in side.program.calls for name in c.names}
    found, near = {call.place.node: call}, [call]
    while near and len(found) < most:
        makes = (makers[o.source] for c in near for o in c.inputs if o.source in makers)
        near = [c for c in dict.fromkeys(makes) if c.place.node not in found]
        found.update((c.place.node, c) for c in near)
    return [c for c in side.program.calls if c.place.node in found and c is not call] + [call]


def _roll_of(side: Side, call: Call) -> dict[int, int] | None:
    """The shift along each axis by a call and those just before it; None if it is not a shift."""
    steps = call.op.network.body if isinstance(call.op, Composed) else ()
    ops = (call.op, *(step.op for step in steps))
    if not any(isinstance(op, Roll | Concatenate) for op in ops):
        return None
    z = side.value.get(call.names[0])
    if z is None or not 1 < z.size <= MOST or np.unique(z).size < z.size // 2:
        return None
    sources = [values_of(c, side.value) for c in _before(side, call, BEFORE)]
    for a in dict.fromkeys(id(a) for y in sources for a in y if a.shape == z.shape):
        array = next(x for y in sources for x in y if id(x) == a)
        for by, axes in _shifts(z.shape):
            if np.array_equal(np.roll(array, by, axes), z):
                return dict(zip(axes, by, strict=True))
    return None


def _shifts(shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(amounts, axes) of the shifts along one or two axes, the smallest first."""
    long = [i for i, n in enumerate(shape) if n > 1]
    found = []
    for axes in [s for n in (1, 2) for s in combinations(long, n)]:
        each = [
            [k for k in range(-((n - 1) // 2), n // 2 + 1) if k] for n in (shape[i] for i in axes)
        ]
        found += [(by, axes) for by in product(*each)]
    return sorted(found, key=lambda each: sum(map(abs, each[0])))[:SHIFTS]


def _in_words(own: dict[int, int], more: dict[int, int], shape: tuple[int, ...]) -> str:
    """The sum of two shifts."""
    by: dict[int, int] = {}
    for axis in sorted({*own, *more}):
        n = shape[axis]
        k = (own.get(axis, 0) + more.get(axis, 0)) % n
        by[axis] = k - n if 2 * k > n else k
    each = [f"{k:+d} along axis {axis}" for axis, k in by.items() if k]
    return f"rolled (a cyclic shift) by {' and '.join(each)}" if each else "not rolled"
