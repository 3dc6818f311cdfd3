"""Other values of a program as inputs of a node: earlier ones, or parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call, Operand
from ..programs.edits import Edit, wide
from ..programs.values import Program
from .chains import chain, listed

__all__ = ["other_parameters", "other_values"]

#: The most values that are tried as an input.
MANY = 48


def other_values(
    call: Call, y: Sequence[NDArray], program: Program, value: Mapping[str, NDArray]
) -> Iterator[Edit]:
    """Another value of the program, computed before, in the place of an input."""
    known: dict[str, NDArray] = dict(program.leaves)
    for earlier in program.calls:
        if earlier is call:
            break
        if earlier.place.node in program.preparations:
            continue
        known.update((name, value[name]) for name in program.gives(earlier))
    for i, o in enumerate(call.inputs):
        if y[i].dtype.kind != "f" or y[i].size < 2:
            continue
        for own, shape, moves in _moved(o, y[i], program, known):
            same = [n for n, a in known.items() if a.shape == shape and n not in (o.source, own)]
            for name in same[-MANY:][::-1]:
                array: NDArray | str = name if name in value and not moves else wide(known[name])
                for move in moves:
                    array = move.forward(np.asarray(array))
                said = _in_words(own or f"constant {i + 1}", name, program)
                yield Edit(said, call.op, {i: array}, plain=False)


def _in_words(own: str, name: str, program: Program) -> str:
    """Say in words that a node takes another value, and which ops are left out because of it."""
    said = f"it takes {own} {{here}} and {name} {{there}}"
    for a, b, place in ((own, name, "here"), (name, own, "there")):
        between = chain(program, b, a)
        if between:
            missing = "there" if place == "here" else "here"
            one = len(between) == 1
            what = f"{between[0].op.name} is" if one else f"{listed(between)} are"
            said += f": {what} applied before only {{{place}}}, and left out {{{missing}}}"
    return said


def _moved(
    o: Operand, own: NDArray, program: Program, known: Mapping[str, NDArray]
) -> list[tuple[str, tuple[int, ...], list[Op]]]:
    """(name, shape, moves): the values that an input is a rearrangement of, the furthest first."""
    makers = {name: c for c in program.calls for name in c.names}
    name, moves = o.source, list[Op]()
    found = [(name, own.shape, moves)]
    while (
        name in makers and isinstance(makers[name].op, Movement) and len(makers[name].inputs) == 1
    ):
        if makers[name].inputs[0].source not in known:
            break
        moves = [makers[name].op, *moves]
        name = makers[name].inputs[0].source
        found.append((name, known[name].shape, moves))
    return found[::-1]


def other_parameters(call: Call, program: Program) -> Iterator[Edit]:
    """All parameters of another node with the same op in the place of several of this one."""
    known = program.layouts
    slots = [i for i, o in enumerate(call.inputs) if o.source in known]
    own = [known[call.inputs[i].source] for i in slots]
    seen = [own]
    for there in program.calls if len(slots) > 1 else ():
        if there.op != call.op or len(there.inputs) != len(call.inputs):
            continue
        inputs = {i: there.inputs[i] for i in slots}
        names = [known.get(o.source, "") for o in inputs.values()]
        alike = all(o.array.shape == call.inputs[i].array.shape for i, o in inputs.items())
        if alike and names not in seen and all(names):
            seen.append(names)
            said = f"it takes the parameters {', '.join(own)} {{here}} and "
            arrays = {i: wide(o.array) for i, o in inputs.items()}
            yield Edit(f"{said}{', '.join(names)} {{there}}", call.op, arrays, everywhere=True)
