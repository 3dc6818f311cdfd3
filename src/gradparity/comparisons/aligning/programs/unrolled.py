"""The calls of a recording with the steps of its loops wired to each other.

A recorded loop gives a call for every step, with the names that all steps share: "add_3.step2"
gives "add_3" and takes "mul_1", which is "mul_1.step2", and a carry, which a call of the step
before gave.  A step of a loop in a loop has both numbers: "add_3.step2_0".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Select
from ....core.network.calls import Call, Operand, Place
from ....core.vocabulary.rearranging import Stack
from ...recording.recording import Recording
from .prepared import tells

__all__ = ["STEP", "in_order", "unrolled"]

STEP = re.compile(r"(?P<base>.*)\.step(?P<step>\d+(?:_\d+)*)$")
INNER = re.compile(r".*\.(carry|const)\d+$")
#: What a step takes of something that the loop goes over, which an earlier loop may have given.
SLICE = re.compile(r".*\.xs\d+$")


def unrolled(recording: Recording) -> tuple[Call, ...]:
    """The calls in the order in which they ran, all their inputs by name."""
    known = {call.place.node: call for call in recording.calls}
    if all(call.names and not STEP.match(call.place.node) for call in recording.calls):
        return tuple(known[node] for node in recording.order() if node in known)
    calls = [_named(call) for call in recording.calls]
    made = {name: z for c in calls for name, z in zip(c.names, c.z, strict=False) if z is not None}
    leaves = {o.source: o.array for c in calls for o in c.inputs if o.source in recording.leaves}
    index = _Index({**leaves, **made})
    position = {name: i for i, name in enumerate(made)}
    joined: dict[str, Call] = {}
    wired = [
        replace(c, inputs=tuple(_wired(o, c, position, leaves, index, joined) for o in c.inputs))
        for c in calls
    ]
    return tuple(in_order([*joined.values(), *wired]))


def _named(call: Call) -> Call:
    found = STEP.match(call.place.node)
    if call.names and found:
        names = tuple(f"{name}.step{found['step']}" for name in call.names)
        return replace(call, names=names)
    if call.names:
        return call
    node, n = call.place.node, len(call.z)
    return replace(call, names=(node,) if n == 1 else tuple(f"{node}.{i}" for i in range(n)))


class _Index:
    """Values by what they hold, bitwise."""

    def __init__(self, values: Mapping[str, NDArray]) -> None:
        self._by: dict[tuple[tuple[int, ...], float], list[tuple[str, NDArray]]] = {}
        self._with_rows: dict[tuple[int, ...], list[tuple[str, NDArray]]] = {}
        for name, a in values.items():
            if a.ndim and len(a) > 1:
                self._with_rows.setdefault(a.shape[1:], []).append((name, a))
            if a.size:
                self._by.setdefault(self._key(a), []).append((name, a))

    @staticmethod
    def _key(a: NDArray) -> tuple[tuple[int, ...], float]:
        return a.shape, float(a.flat[0])

    def over(self, row: NDArray) -> list[tuple[str, NDArray]]:
        """The values with slices of a shape along their first axis, the last first."""
        return self._with_rows.get(row.shape, [])[::-1]

    def of(self, array: NDArray) -> list[str]:
        """The names of the values that are these numbers."""
        found = self._by.get(self._key(array), ()) if array.size else ()
        return [n for n, a in found if np.array_equal(a, array)]


def _wired(
    o: Operand,
    call: Call,
    made: Mapping[str, int],
    leaves: Mapping[str, NDArray],
    index: _Index,
    joined: dict[str, Call],
) -> Operand:
    """An input with the name of the call that gave it, which may be one of another step."""
    found = STEP.match(call.place.node)
    if o.source in leaves or (o.source in made and not found):
        return o
    if found and o.source:
        base, _, part = o.source.rpartition(".")
        numbers = found["step"].split("_")
        steps = ["_".join(numbers[:n]) for n in range(len(numbers), 0, -1)]
        inside = [n for s in steps for n in (f"{o.source}.step{s}", f"{base}.step{s}.{part}")]
        name = next((n for n in inside if n in made), "")
        if name:
            return replace(o, source=name)
    elif not o.source and not found:
        return o
    single = o.array.size == 1 and o.source and o.array.dtype.kind == "f" and np.any(o.array)
    if o.source in joined or not (single or tells(o.array)):  # zeros are equal to many values
        return o
    outside = SLICE.match(o.source) if o.source else None
    known = _made_before if outside else _before
    same = [n for n in index.of(o.array) if known(n, call, made, leaves)]
    if same:
        return replace(o, source=same[-1])
    if outside and found:
        taken = _taken(o, call, int(found["step"].split("_")[-1]), made, leaves, index)
        if taken is not None:
            joined[taken.names[0]] = taken
            return replace(o, source=taken.names[0])
    if found and not (o.source and INNER.match(o.source)):  # a slice of what the loop goes over
        return o
    rows = list(o.array) if o.array.ndim else []
    parts = [_only([n for n in index.of(row) if _before(n, call, made, leaves)]) for row in rows]
    if o.source and parts and all(parts):
        inputs = tuple(Operand(row, name) for row, name in zip(o.array, parts, strict=True))
        node = o.source
        joined[node] = Call(
            Place(node, "scan", call.place.module, call.place.source), Stack(axis=0), inputs,
            (o.array,), (o.gradient,), call.precision, names=(node,),
        )  # fmt: skip
    return o


def _taken(
    o: Operand,
    call: Call,
    step: int,
    made: Mapping[str, int],
    leaves: Mapping[str, NDArray],
    index: _Index,
) -> Call | None:
    """The call that takes a slice of a value that a loop goes over, from either of its ends."""
    for name, a in index.over(o.array):
        for k in (step, len(a) - 1 - step):
            if not 0 <= k < len(a) or STEP.match(name) or not _before(name, call, made, leaves):
                continue
            if np.array_equal(a[k], o.array):
                node, place = f"{o.source}.step{step}", call.place
                return Call(
                    Place(node, "scan", place.module, place.source), Select(k, 0),
                    (Operand(a, name),), (o.array,), (o.gradient,), call.precision, names=(node,),
                )  # fmt: skip
    return None


def _only(names: list[str]) -> str:
    return names[-1] if names else ""


def _before(name: str, call: Call, made: Mapping[str, int], leaves: Mapping[str, NDArray]) -> bool:
    """Whether a value is known before a call: of an earlier step, or of an earlier equation.

    A loop from the last one to the first has the step after it before.
    """
    a, b = re.search(r"\.step(\d+(?:_\d+)*)", name), STEP.match(call.place.node)
    if a and b:
        there, here = _numbers(a[1]), _numbers(b["step"])
        return there < here or there == (*here[:-1], here[-1] + 1)
    return _made_before(name, call, made, leaves)


def _made_before(
    name: str, call: Call, made: Mapping[str, int], leaves: Mapping[str, NDArray]
) -> bool:
    """Whether a value is of an earlier equation: JAX's calls come in their order."""
    return name in leaves or made[name] < made.get(call.names[0], len(made))


def _numbers(step: str) -> tuple[int, ...]:
    return tuple(map(int, step.split("_")))


def in_order(calls: Iterable[Call]) -> Iterator[Call]:
    """Each call after those whose values it takes."""
    by_id = {id(call): call for call in calls}
    by_name = {name: call for call in by_id.values() for name in call.names}
    done: set[int] = set()
    entered: set[int] = set()
    for last in by_id.values():
        todo = [last]
        while todo:
            call = todo[-1]
            if id(call) in done:
                todo.pop()
                continue
            before = (by_name.get(o.source) for o in call.inputs)
            waiting = [c for c in before if c is not None and id(c) not in done]
            if id(call) not in entered and waiting:
                entered.add(id(call))
                todo += [c for c in waiting if id(c) not in entered]
            else:
                done.add(id(todo.pop()))
                yield call
