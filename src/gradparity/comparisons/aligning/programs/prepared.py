"""The ops of a program on what has no gradient, wired to those that take what they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Reshape
from ....core.network.calls import Call
from ....core.programs.parts import Cast

__all__ = ["tells", "with_preparations"]


def with_preparations(preparations: Sequence[Call], calls: Sequence[Call]) -> tuple[Call, ...]:
    """The calls of a program with those before them that prepare their constants.

    A constant is what a preparation gave if it is bitwise that array, in any shape.  Preparations
    that nothing takes, or that give the same numbers in another shape or format, are left out.
    """
    made: dict[tuple[str, bytes], str] = {}
    found = []
    for call in (_wired(call, made) for call in preparations):
        same = isinstance(call.op, Reshape | Cast)
        if not same:
            found.append(call)
        for name, z in zip(call.names, call.z, strict=True):
            if z is not None and tells(z):
                made[_key(z)] = call.inputs[0].data if same else name
    wired = [_wired(call, made) for call in calls]
    taken = {o.data for call in wired for o in call.inputs if o.data}
    kept: list[Call] = []
    for call in reversed(found):
        if taken & {*call.names}:
            taken |= {o.data for o in call.inputs if o.data}
            kept.append(call)
    return (*reversed(kept), *wired)


def _wired(call: Call, made: dict[tuple[str, bytes], str]) -> Call:
    def inputs() -> Iterator[str]:
        for o in call.inputs:
            yield made.get(_key(o.array), "") if not o.source and tells(o.array) else ""

    names = list(inputs())
    if not any(names):
        return call
    each = zip(call.inputs, names, strict=True)
    return replace(call, inputs=tuple(replace(o, data=name) for o, name in each))


def tells(a: NDArray) -> bool:
    """Whether an array is of several different floats, so that another one is not it by chance."""
    return a.dtype.kind == "f" and a.size > 1 and not bool((a == a.flat[0]).all())


def _key(a: NDArray) -> tuple[str, bytes]:
    return a.dtype.str, np.ascontiguousarray(a).tobytes()
