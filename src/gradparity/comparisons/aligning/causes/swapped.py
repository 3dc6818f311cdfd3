"""Two steps that the other program takes in the other order, such as a norm and a sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.layers import Add
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call, Operand
from ..programs.edits import Edit, values_of, wide
from ..programs.side import Side
from ..programs.values import are_near
from .chains import listed

__all__ = ["swapped"]

#: How many nodes before and after one without a partner two steps may begin and end.
BEFORE, AFTER = 4, 24
#: How many sums after one without a partner are looked at, and how far the step after one goes.
SUMS, NORM = 2, 24
#: The fewest elements of a value that does not pair by chance.
SEVERAL = 8


@dataclass(frozen=True)
class _Part:
    """The calls on all ways from one value to another.

    Attributes
    ----------
    start, end : the values.
    calls : in their order.
    """

    start: str
    end: str
    calls: tuple[Call, ...]

    def of(self, side: Side, z: NDArray) -> NDArray | None:
        """Compute the end from another value at the start; None where an op has no result."""
        value = {self.start: z}
        for c in self.calls:
            own = values_of(c, side.value)
            y = [value.get(_key(o), a) for o, a in zip(c.inputs, own, strict=True)]
            made = side.results(Edit("", c.op), y)
            if not made:
                return None
            value.update((n, a) for n, a in zip(c.names, made, strict=False) if n)
        return value[self.end]

    @property
    def computes(self) -> bool:
        """Whether it does more than rearrange."""
        return any(not isinstance(c.op, Movement) for c in self.calls)


@dataclass(frozen=True)
class _Back(_Part):
    """The way back from the end of a part that only rearranges."""

    def of(self, side: Side, z: NDArray) -> NDArray | None:
        own = _array(side, self.start)
        places = super().of(side, np.arange(own.size, dtype=np.float64).reshape(own.shape))
        if places is None or places.size != own.size or z.shape != places.shape:
            return None
        made = np.empty(own.size)
        made[places.ravel().astype(int)] = z.ravel()
        return made.reshape(own.shape)


@dataclass(frozen=True, eq=False)
class _Steps(Op):
    """Some parts, one of what the other gives, of one value.

    Attributes
    ----------
    side : the program of the parts.
    parts : in the order in which they are computed.
    first : where a sum of the value and of what these give is taken: after so many of them.
    """

    side: Side
    parts: tuple[_Part, ...]
    first: int = 0

    def forward(self, *y: Array) -> Array:
        z, value = y[0], y[0]
        for i, part in enumerate(self.parts, 1):
            made = part.of(self.side, z)
            if made is None:
                raise ValueError("the parts make nothing of it")
            if part.computes and are_near(made, z, self.side.near):
                raise ValueError("a step leaves it as it is, so that it may as well be left out")
            z = made + value.reshape(made.shape) if i == self.first else made
        return z


def swapped(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of two steps near a call in the other order, which has a partner."""
    lost = side.lost(other)
    if call.names[0] not in lost or side.value[call.names[0]].size < SEVERAL:
        return
    for op, start, end, said in (*_in_a_row(side, call, lost), *_around_sums(side, call)):
        own, last = _array(side, start), side.makers[end]
        if 2 * np.unique(own).size < own.size:  # of zeros one step gives a constant
            continue
        if {call.place.node, last.place.node} & side.edits.keys():
            continue
        taken = {0: start if start in side.value else own}
        edit = Edit(said, op, taken)
        z = side.first(edit, (own,))
        if z is None or z.shape != side.value[end].shape or not other.partners.has(z):
            continue
        each = {call.place.node: Edit(said, call.op, sure=True), last.place.node: edit}
        yield list(each), Edit(said, op, taken, each=each, sure=True)


def _in_a_row(
    side: Side, call: Call, lost: dict[str, Call]
) -> Iterator[tuple[_Steps, str, str, str]]:
    """Yield pairs of consecutive steps, the first of which has the call."""
    size = side.value[call.names[0]].size
    for end in _later(side, call, AFTER):
        arranges = isinstance(side.makers[end].op, Movement)
        if arranges or end not in lost or side.value[end].size != size:
            continue
        for start in _earlier(side, call, BEFORE):
            if _array(side, start).size != size or start in lost:
                continue
            whole = _part(side, start, end)
            cuts = [c for c in _cuts(whole) if side.value[c].size == size]
            for i, middle in enumerate(cuts):
                one = _between(whole, start, middle)
                if not one.computes or call not in one.calls:
                    continue
                for then in cuts[i:]:
                    moves, two = _between(whole, middle, then), _between(whole, then, end)
                    if moves.computes:
                        break
                    if two.computes:
                        said = f"{listed(one.calls)} before {listed(two.calls)} {{here}} and after "
                        said = f"the order of two steps is exchanged: {said}{{there}}"
                        back = _Back(moves.start, moves.end, moves.calls)
                        parts = (moves, two, back, one, moves) if moves.calls else (two, one)
                        yield _Steps(side, parts), start, end, said


def _around_sums(side: Side, call: Call) -> Iterator[tuple[_Steps, str, str, str]]:
    """Yield a step after a sum of a value and a branch of it, that is before the branch there."""
    position = {c.place.node: i for i, c in enumerate(side.program.calls)}
    sums = (
        c for c in side.program.calls[position[call.place.node] :]
        if isinstance(c.op, Add) and len(c.inputs) == 2 and c.names[0] in side.value
    )  # fmt: skip
    found = 0
    for c in sums:
        total = side.value[c.names[0]]
        own = [_key(o) for o in c.inputs]
        for start, end in (own, own[::-1]):
            if not start or end not in side.value or _array(side, start).size != total.size:
                continue
            branch = _part(side, start, end)
            if not branch.calls or side.value[end].size != total.size:
                continue
            found += 1
            for middle in _cuts(branch):  # a step before the branch, that is after the sum there
                if side.value[middle].size == total.size:
                    step, rest = _between(branch, start, middle), _between(branch, middle, end)
                    if step.computes and rest.computes:
                        said = f"{listed(step.calls)} before the branch of the sum {c.place.node} "
                        said += "{here} and after the sum {there}: the order is another one"
                        yield _Steps(side, (rest, step), first=1), start, c.names[0], said
            for last in _later(side, c, NORM):
                step = _part(side, c.names[0], last)
                if isinstance(side.makers[last].op, Movement):
                    continue
                if side.value[last].size == total.size and step.computes:
                    said = f"{listed(step.calls)} after the sum {c.place.node} {{here}} and before "
                    said += "the branch of it {there}: the order is another one"
                    yield _Steps(side, (step, branch), first=2), start, last, said
        if found >= SUMS:
            return


def _key(o: Operand) -> str:
    """The name of an input of a call; data without a name get one by their numbers."""
    if o.name or o.array.dtype.kind != "f" or o.array.size < SEVERAL:
        return o.name
    return f"data {o.array.shape} {hash(o.array.tobytes())}"


def _array(side: Side, key: str) -> NDArray:
    """The numbers of the input of calls with this name; none if there is no such input."""
    if key in side.value:
        return side.value[key]
    each = (o.array for c in side.program.calls for o in c.inputs if _key(o) == key)
    return wide(next(each, np.empty(0)))


def _part(side: Side, start: str, end: str) -> _Part:
    """All ways from one value to another."""
    reached, forward = {start}, list[Call]()
    maker = side.makers.get(end)
    if maker is None:
        return _Part(start, end, ())
    for c in side.program.calls:
        if any(_key(o) in reached for o in c.inputs) and start not in c.names:
            reached.update(c.names)
            forward.append(c)
        if c is maker:
            break
    needed, found = {end}, list[Call]()
    for c in reversed(forward):
        if needed & set(c.names):
            needed.update(_key(o) for o in c.inputs)
            found.append(c)
    return _Part(start, end, tuple(reversed(found)) if start in needed else ())


def _between(whole: _Part, start: str, end: str) -> _Part:
    """The calls of a part between two of its cuts."""
    names = [whole.start, *(c.names[0] for c in whole.calls)]
    return _Part(start, end, whole.calls[names.index(start) : names.index(end)])


def _cuts(part: _Part) -> Iterator[str]:
    """The values inside of a part that all its ways go through."""
    known = {part.start}
    for i, c in enumerate(part.calls[:-1]):
        known.update(c.names)
        used = {_key(o) for later in part.calls[i + 1 :] for o in later.inputs} & known
        if used == {c.names[0]}:
            yield c.names[0]


def _earlier(side: Side, call: Call, steps: int) -> list[str]:
    """The values that a call takes, and those that these are made of, the nearest first."""
    found: dict[str, None] = {}
    near = [call]
    for _ in range(steps):
        names = [_key(o) for c in near for o in c.inputs]
        computed = (_key(o) for c in near if not isinstance(c.op, Movement) for o in c.inputs)
        found.update((n, None) for n in computed if n)
        near = [side.makers[n] for n in dict.fromkeys(names) if n in side.makers]
    return list(found)


def _later(side: Side, call: Call, most: int) -> list[str]:
    """The values that are made of the results of a call, in order, and the number of nodes."""
    reached, found = set(call.names), list[str]()
    calls = side.program.calls
    index = next(i for i, c in enumerate(calls) if c is call)
    for c in calls[index + 1 :]:
        if any(_key(o) in reached for o in c.inputs):
            reached.update(c.names)
            if c.names[0] in side.value:
                found.append(c.names[0])
        if len(found) >= most:
            break
    return found
