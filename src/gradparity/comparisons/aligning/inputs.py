"""Inputs of two programs that hold other numbers: said first, and corrected before the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.formulas.arguments import did_you_mean
from ...core.network.calls import Operand
from .causes.related import relation
from .programs.edits import computed, values_of, wide
from .programs.partners import Known, Partners
from .programs.values import Program, are_near, is_rounded

__all__ = [
    "Given",
    "OtherInput",
    "inputs_of",
    "other_inputs",
    "parse_inputs",
    "rounded_in_words",
]

#: The most axes whose orders are tried where two inputs have other layouts.
MOST_AXES = 5


class OtherInput(NamedTuple):
    """An input that holds other numbers in the other program.

    Attributes
    ----------
    node : the first that takes it.
    name, there : of the input in either program.
    how : the difference of the numbers; "{there}" stands for the other program.
    fits : whether the program runs with the numbers of the other one.
    """

    node: str
    name: str
    there: str
    how: str
    fits: bool = True

    def __str__(self) -> str:
        how = self.how.format(here="here", there="there")
        return f"its input {self.name!r} ({self.there!r} of the other program) {how}"


class Given(NamedTuple):
    """A program with the inputs of another one.

    Attributes
    ----------
    program : it.
    others : the inputs that hold other numbers there.
    rounded : the names of those that are rounded to few bits in one of the two programs.
    """

    program: Program
    others: tuple[OtherInput, ...]
    rounded: tuple[str, ...]


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
) -> Given:
    """The first program with the inputs of the other one, and which of them are not the same.

    Parameters
    ----------
    pairs : inputs of one -> those of the other that they are; for those that are not in it, what
        has no equal in the other program is taken for the only such input of its size there, and
        for the only such input at all if that has another length along one axis.
    """
    mine, theirs = inputs_of(one), inputs_of(other)
    left = [_alone(a, b, near, known) for a, b in ((one, other), (other, one))]
    new = _rounded(*left)
    made = _with_inputs(one, mine, new) if new else None
    one, rounded = (made, tuple(new)) if made is not None else (one, ())
    left[0] = {n: a for n, a in left[0].items() if n not in rounded}
    found: list[OtherInput] = []
    for name, there in {**_single(*left), **pairs}.items():
        a, b = wide(mine[name]), wide(theirs[there])
        if name in rounded or any(are_near(a, c, near) for c in _layouts(b, a.shape)):
            continue
        for c in _layouts(b, a.shape):
            made = _with_inputs(one, mine, {name: c})
            if made is not None and (name in pairs or _agrees(made, one, other, near)):
                related = relation(a, c)
                how = f"is {related}" if related else "holds other numbers {there}"
                found.append(OtherInput(_first_user(one, name, mine[name]), name, there, how))
                one = made
                break
    return Given(one, tuple(found) or _of_other_length(one, *left), rounded)


def _alone(a: Program, b: Program, near: float, known: Known) -> dict[str, NDArray]:
    """The inputs of one program that are in none of the other's values."""
    pool = Partners({**b.value, **inputs_of(b)}, near, known)
    used = {o.source for call in a.calls for o in call.inputs}
    bits = set(a.constants)
    return {
        name: array
        for name, array in inputs_of(a).items()
        if array.dtype.kind == "f" and array.size > 1
        if name in used or array.tobytes() in bits
        if not pool.has(array)
    }


def _single(mine: Mapping[str, NDArray], theirs: Mapping[str, NDArray]) -> dict[str, str]:
    """The inputs of which each program has one of a size: name -> name."""
    sizes = [[a.size for a in each.values()] for each in (mine, theirs)]
    return {
        name: there
        for name, a in mine.items()
        for there, b in theirs.items()
        if a.size == b.size and all(s.count(a.size) == 1 for s in sizes)
    }


def _rounded(mine: Mapping[str, NDArray], theirs: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The inputs that are another's of the other program but for rounding: as they are there."""
    return {
        name: c
        for name, a in mine.items()
        for b in theirs.values()
        if a.size == b.size
        for c in _layouts(wide(b), a.shape)
        if is_rounded(a, c)
    }


def _of_other_length(
    one: Program, mine: Mapping[str, NDArray], theirs: Mapping[str, NDArray]
) -> tuple[OtherInput, ...]:
    """The only inputs without an equal, if they differ in one length, as of another batch."""
    if len(mine) != 1 or len(theirs) != 1:
        return ()
    (name, a), (there, b) = *mine.items(), *theirs.items()
    if a.ndim != b.ndim or sum(n != m for n, m in zip(a.shape, b.shape, strict=True)) != 1:
        return ()
    how = f"has the shape {a.shape} {{here}} and {b.shape} {{there}}: record both with the same"
    return (OtherInput(_first_user(one, name, a), name, there, f"{how} numbers", fits=False),)


def rounded_in_words(names: Sequence[str]) -> str:
    """Return a sentence on inputs that are rounded to few bits in one of two programs."""
    if not names:
        return ""
    more = f" and {len(names) - 1} more inputs are" if names[1:] else " is"
    return f"; {names[0]!r}{more} rounded to few bits in one of them, and is not told apart by that"


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


def _with_inputs(
    program: Program, own: Mapping[str, NDArray], new: Mapping[str, NDArray]
) -> Program | None:
    """A program as it would be with other numbers in inputs; None if it has no value then.

    Parameters
    ----------
    own : the numbers of its inputs, by name.
    new : other ones, of as many numbers.
    """

    def given(o: Operand) -> Operand:
        for name, array in new.items():
            if _is(o.source, o.array, name, own[name]):
                return replace(o, array=array.reshape(o.array.shape))
        return o

    value, changed, calls = dict(program.value), set(), []
    for call in program.calls:
        inputs = tuple(map(given, call.inputs))
        is_same = all(a is b for a, b in zip(inputs, call.inputs, strict=True))
        made = call if is_same else replace(call, inputs=inputs)
        calls.append(made)
        if is_same and not any(o.name in changed for o in inputs):
            continue
        z = computed(made.op, values_of(made, value), value)
        if not z:
            return None
        for name, a in zip(call.names, z, strict=False):
            if name in value:
                value[name] = a
                changed.add(name)
    leaves = {n: new.get(n, a) for n, a in program.leaves.items()}
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
