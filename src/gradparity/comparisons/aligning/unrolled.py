"""The calls of a recording with the steps of its loops wired to each other.

A recorded loop gives a call for every step, and no names for what a step gives: "add_3.step2" takes
"mul_1", which is "mul_1.step2", and a carry, which a call of the step before gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call, Operand, Place
from ...core.vocabulary.rearranging import Stack
from ..recording.recording import Recording

__all__ = ["unrolled"]

STEP = re.compile(r"(?P<base>.*)\.step(?P<step>\d+)$")
INNER = re.compile(r".*\.(carry|const)\d+$")


def unrolled(recording: Recording) -> tuple[Call, ...]:
    """The calls in the order in which they ran, all of what they take by name."""
    known = {call.place.node: call for call in recording.calls}
    if not any(not call.names for call in recording.calls):
        return tuple(known[node] for node in recording.order() if node in known)
    calls = [_named(call) for call in recording.calls]
    made = {name: z for c in calls for name, z in zip(c.names, c.z, strict=False) if z is not None}
    leaves = {o.source: o.array for c in calls for o in c.inputs if o.source in recording.leaves}
    index = _Index({**leaves, **made})
    joined: dict[str, Call] = {}
    wired = [
        replace(c, inputs=tuple(_wired(o, c, made, leaves, index, joined) for o in c.inputs))
        for c in calls
    ]
    return tuple(_in_order([*joined.values(), *wired]))


def _named(call: Call) -> Call:
    if call.names:
        return call
    node, n = call.place.node, len(call.z)
    return replace(call, names=(node,) if n == 1 else tuple(f"{node}.{i}" for i in range(n)))


class _Index:
    """Values by what they hold, bitwise."""

    def __init__(self, values: Mapping[str, NDArray]) -> None:
        self._by: dict[tuple[int, ...], list[tuple[str, NDArray]]] = {}
        for name, a in values.items():
            self._by.setdefault(a.shape, []).append((name, a))

    def of(self, array: NDArray) -> list[str]:
        """The names of the values that are these numbers."""
        return [n for n, a in self._by.get(array.shape, ()) if np.array_equal(a, array)]


def _wired(
    o: Operand,
    call: Call,
    made: Mapping[str, NDArray],
    leaves: Mapping[str, NDArray],
    index: _Index,
    joined: dict[str, Call],
) -> Operand:
    """An input with the name of the call that gave it, which may be one of another step."""
    if o.array.dtype.kind != "f" or o.array.size < 2:
        return o
    found = STEP.match(call.place.node)
    if o.source in leaves or (o.source in made and not found):
        return o
    if found and o.source:
        base, _, part = o.source.rpartition(".")
        step = found["step"]
        inside = f"{o.source}.step{step}", f"{base}.step{step}.{part}"
        name = next((n for n in inside if n in made), "")
        if name:
            return replace(o, source=name)
    elif not o.source and not found:
        return o
    if o.source in joined:
        return o
    same = [n for n in index.of(o.array) if _before(n, call, made, leaves)]
    if same:
        return replace(o, source=same[-1])
    if found and not (o.source and INNER.match(o.source)):  # a slice of what the loop goes over
        return o
    parts = [_only(index.of(row)) for row in o.array] if o.array.ndim else []
    if o.source and parts and all(parts):
        inputs = tuple(Operand(row, name) for row, name in zip(o.array, parts, strict=True))
        node = o.source
        joined[node] = Call(
            Place(node, "scan", call.place.module, call.place.source), Stack(axis=0), inputs,
            (o.array,), (o.gradient,), call.precision, names=(node,),
        )  # fmt: skip
    return o


def _only(names: list[str]) -> str:
    return names[-1] if names else ""


def _before(
    name: str, call: Call, made: Mapping[str, NDArray], leaves: Mapping[str, NDArray]
) -> bool:
    """Whether a value is known before a call: of an earlier step, or of an earlier equation."""
    a, b = re.search(r"\.step(\d+)", name), STEP.match(call.place.node)
    if a and b:
        return int(a[1]) < int(b["step"])
    order = list(made)  # JAX's calls come in the order of the equations
    return name in leaves or order.index(name) < order.index(call.names[0])


def _in_order(calls: Iterable[Call]) -> Iterator[Call]:
    """Each call after those whose values it takes."""
    by_name = {name: call for call in calls for name in call.names}
    done: set[int] = set()
    for last in calls:
        todo = [last]
        while todo:
            call = todo[-1]
            if id(call) in done:
                todo.pop()
                continue
            before = (by_name.get(o.source) for o in call.inputs)
            waiting = [c for c in before if c is not None and id(c) not in done and c not in todo]
            if waiting:
                todo += waiting
            else:
                done.add(id(todo.pop()))
                yield call
