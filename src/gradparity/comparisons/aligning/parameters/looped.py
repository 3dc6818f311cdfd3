"""Parameters that only a loop takes: the same one in every step, or a slice of it in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Select
from ....core.network.calls import Call, Operand, Place
from ..programs.unrolled import STEP, in_order
from ..programs.values import Program, are_near

__all__ = ["with_looped"]

#: What a step of a loop takes: the same in every step, from the step before, or a slice.
TAKEN = re.compile(r".*\.(const|carry|xs)\d+$")


def with_looped(program: Program) -> Program:
    """The program in which parameters that only a loop takes are known.

    A loop names what its steps take by itself: it is the parameter with the gradient that leaves
    through all steps, or through the first one if it is a carry.
    """
    known = {*program.leaves, *(name for call in program.calls for name in call.names)}
    steps: dict[str, list[tuple[int, Operand]]] = {}
    for call in program.calls:
        found = STEP.match(call.place.node)
        for o in call.inputs:
            if found and o.source not in known and TAKEN.match(o.source):
                steps.setdefault(o.source, []).append((int(found["step"].split("_")[-1]), o))
    if not steps:
        return program
    leaves, renamed, slices = dict(program.leaves), {}, []
    for source, uses in steps.items():
        for taken, indices in _wholes(source, uses):
            names = _with_gradient(program, taken.gradient, leaves)
            if len(names) != 1:
                continue
            leaves[names[0]] = taken.array
            whole = replace(taken, source=names[0])
            if indices is None:
                renamed[source if ".const" in source else f"{source}.step0"] = names[0]
            else:
                slices += [_slice(whole, f"{source}.step{k}", i) for k, i in indices.items()]
            break
    known |= {*leaves, *(name for call in slices for name in call.names)}
    calls = tuple(_rewired(call, known, renamed) for call in program.calls)
    value = {**program.value, **{c.names[0]: np.asarray(c.z[0]) for c in slices}}
    return replace(program, calls=tuple(in_order((*slices, *calls))), leaves=leaves, value=value)


def _wholes(
    source: str, uses: Sequence[tuple[int, Operand]]
) -> Iterator[tuple[Operand, Mapping[int, int] | None]]:
    """Yield the arrays that the steps of a loop take, with the index of each step for slices."""
    each: dict[int, NDArray] = {}
    for k, o in uses:
        gradient = np.zeros(o.array.shape) if o.gradient is None else o.gradient
        each[k] = each[k] + gradient if k in each else gradient
    arrays = {k: o.array for k, o in uses}
    count = max(each) + 1
    if ".const" in source:
        yield Operand(uses[0][1].array, gradient=sum(each.values(), np.zeros(()))), None
    elif ".carry" in source and 0 in each:
        yield Operand(arrays[0], gradient=each[0]), None
    elif ".xs" in source and len(each) == count:
        for indices in ({k: k for k in each}, {k: count - 1 - k for k in each}):
            order = sorted(each, key=indices.__getitem__)
            whole, gradient = (np.stack([a[k] for k in order]) for a in (arrays, each))
            yield Operand(whole, gradient=gradient), indices


def _with_gradient(
    program: Program, gradient: NDArray | None, known: Mapping[str, NDArray]
) -> list[str]:
    """The parameters, of those not known yet, with a gradient."""
    if gradient is None or not np.any(gradient):
        return []
    totals = {n: t for n, t in program.recording.leaves.items() if n not in known}
    return [n for n, t in totals.items() if are_near(t.got, gradient, program.near)]


def _slice(whole: Operand, name: str, index: int) -> Call:
    """The call that takes a slice of a parameter."""
    part = whole.array[index]
    place = Place(name, "scan")
    return Call(place, Select(index, 0), (whole,), (part,), (None,), "float64", names=(name,))


def _rewired(call: Call, known: set[str], renamed: Mapping[str, str]) -> Call:
    """A call of a step with the names of its inputs; another first carry is a constant."""
    found = STEP.match(call.place.node)
    if not found or all(not o.source or o.source in known for o in call.inputs):
        return call

    def source(o: Operand) -> str:
        own = f"{o.source}.step{found['step']}"
        if o.source in known or own in known:
            return o.source if o.source in known else own
        taken = renamed.get(o.source) or renamed.get(own) or o.source
        is_first = ".carry" in taken and TAKEN.match(taken) and own.endswith(".step0")
        return "" if is_first else taken

    return replace(call, inputs=tuple(replace(o, source=source(o)) for o in call.inputs))
