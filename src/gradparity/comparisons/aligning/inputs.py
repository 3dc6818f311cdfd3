"""Inputs of two programs that hold other numbers: said first, and corrected before the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.formulas.arguments import did_you_mean
from .causes.related import relation
from .programs.edits import computed, values_of, wide
from .programs.partners import Known, Partners
from .programs.values import Program, are_near

__all__ = ["OtherInput", "inputs_of", "other_inputs", "parse_inputs"]

#: The most axes whose orders are tried where two inputs have other layouts.
MOST_AXES = 5


class OtherInput(NamedTuple):
    """An input that holds other numbers in the other program.

    Attributes
    ----------
    node : the first that takes it.
    name, there : of the input in either program.
    how : the difference of the numbers; "{there}" stands for the other program.
    """

    node: str
    name: str
    there: str
    how: str

    def __str__(self) -> str:
        how = self.how.format(here="here", there="there")
        return f"its input {self.name!r} ({self.there!r} of the other program) {how}"


def inputs_of(program: Program) -> dict[str, NDArray]:
    """The parameters, inputs and arguments without a gradient of a program, by name."""
    return {**program.recording.given, **program.leaves}


def parse_inputs(inputs: Mapping[str, str] | None, one: Program, other: Program) -> dict[str, str]:
    """The inputs of `other` that those of `one` are, as the user says.

    Raises
    ------
    TypeError : something else than a mapping of names.
    ValueError : a name that the recording does not have, or arrays of other sizes.
    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping) or not all(
        isinstance(name, str) for pair in inputs.items() for name in pair
    ):
        raise TypeError(
            f"align: inputs is {received(inputs)}; give a mapping of the names in one to those in "
            "other"
        )
    for name, there in inputs.items():
        arrays = [_input(program, n) for program, n in ((one, name), (other, there))]
        if arrays[0].size != arrays[1].size:
            raise ValueError(
                f"align: inputs maps {name!r}, of shape {arrays[0].shape}, to {there!r}, of shape "
                f"{arrays[1].shape}; give inputs of as many numbers"
            )
    return dict(inputs)


def _input(program: Program, name: str) -> NDArray:
    known = inputs_of(program)
    if name not in known:
        raise ValueError(
            f"align: {program.recording.name!r} has no input {name!r};"
            f"{did_you_mean(name, known)} it has {', '.join(known)}"
        )
    return known[name]


def other_inputs(
    one: Program, other: Program, pairs: Mapping[str, str], near: float, known: Known
) -> tuple[Program, list[OtherInput]]:
    """The first program with the inputs of the other one, and which of them are not the same.

    Parameters
    ----------
    pairs : inputs of one -> those of the other that they are; for those that are not in it, what
        has no equal in the other program is taken for the only such input of its size there.
    """
    mine, theirs = inputs_of(one), inputs_of(other)
    found: list[OtherInput] = []
    for name, there in {**_alone(one, other, near, known), **pairs}.items():
        a, b = wide(mine[name]), wide(theirs[there])
        if any(are_near(a, c, near) for c in _layouts(b, a.shape)):
            continue
        for c in _layouts(b, a.shape):
            made = _with_input(one, name, mine[name], c)
            if made is not None and (name in pairs or _agrees(made, one, other, near)):
                related = relation(a, c)
                how = f"is {related}" if related else "holds other numbers {there}"
                found.append(OtherInput(_first_user(one, name, mine[name]), name, there, how))
                one = made
                break
    return one, found


def _alone(one: Program, other: Program, near: float, known: Known) -> dict[str, str]:
    """The inputs of one program and of the other that are in none of the other's values."""
    left = []
    for a, b in ((one, other), (other, one)):
        pool = Partners({**b.value, **inputs_of(b)}, near, known)
        used = {o.source for call in a.calls for o in call.inputs}
        bits = set(a.constants)
        left.append({
            name: array
            for name, array in inputs_of(a).items()
            if array.dtype.kind == "f" and array.size > 1
            if name in used or array.tobytes() in bits
            if not pool.has(array)
        })  # fmt: skip
    sizes = [[a.size for a in each.values()] for each in left]
    return {
        name: there
        for name, a in left[0].items()
        for there, b in left[1].items()
        if a.size == b.size and all(s.count(a.size) == 1 for s in sizes)
    }


def _layouts(a: NDArray, shape: tuple[int, ...]) -> Iterator[NDArray]:
    """An array in the shape of another one: as it is, or with its axes in another order."""
    if a.shape == shape:
        yield a
    if a.ndim == len(shape) <= MOST_AXES:
        for order in permutations(range(a.ndim)):
            turned = a.transpose(order)
            if turned.shape == shape and order != (*range(a.ndim),):
                yield turned
    elif a.shape != shape:
        yield a.reshape(shape)


def _with_input(program: Program, name: str, own: NDArray, array: NDArray) -> Program | None:
    """A program as it would be with other numbers in an input; None if it has no value then."""
    value, changed, calls = dict(program.value), set(), []
    for call in program.calls:
        inputs = tuple(
            replace(o, array=array.reshape(o.array.shape))
            if _is(o.source, o.array, name, own)
            else o
            for o in call.inputs
        )
        new = replace(call, inputs=inputs)
        calls.append(new)
        if inputs == call.inputs and not any(o.name in changed for o in inputs):
            continue
        z = computed(new.op, values_of(new, value), value)
        if not z:
            return None
        for given, a in zip(new.names, z, strict=False):
            if given in value:
                value[given] = a
                changed.add(given)
    leaves = {n: array if n == name else a for n, a in program.leaves.items()}
    return replace(program, calls=tuple(calls), value=value, leaves=leaves) if changed else None


def _first_user(program: Program, name: str, own: NDArray) -> str:
    calls = program.calls
    users = (c for c in calls if any(_is(o.source, o.array, name, own) for o in c.inputs))
    return next(users).place.node


def _is(source: str, array: NDArray, name: str, own: NDArray) -> bool:
    """Whether an operand is an input: by its name, or a constant of its numbers."""
    same = array.dtype == own.dtype and array.size == own.size
    return source == name or (not source and same and array.tobytes() == own.tobytes())


def _agrees(made: Program, one: Program, other: Program, near: float) -> bool:
    """Whether more values have a partner with a change."""
    pool = Partners(dict(other.value), near)
    before, after = (sum(pool.has(a) for a in p.value.values()) for p in (one, made))
    return after > before
