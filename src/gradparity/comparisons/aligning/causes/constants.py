"""Constants of a node in whose place the other program has other ones, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.divergences import Divergence
from ....core.formulas.layers import Add, Affine, Multiply
from ....core.network.calls import Call
from ....core.programs.parts import ClassNLL
from ....core.vocabulary.contractions import MatMul
from ....core.vocabulary.pairs import Divide, Subtract
from ..programs.edits import Edit, wide
from ..programs.roles import SCALE, role
from ..programs.values import Program
from .conventions import dropout_rate
from .related import relation

__all__ = ["constants"]

#: The most arrays of the other program that are tried in the place of one.
MANY = 48
#: The most numbers of an array that are told one by one.
FEW = 4
#: The number with which an op does nothing.
NEUTRAL: dict[type, float] = {Add: 0.0, Subtract: 0.0, Multiply: 1.0, Divide: 1.0}
#: The kinds of dtypes of numbers, such as of lengths by which a sum is divided.
NUMBERS = "fiu"


def constants(call: Call, y: Sequence[NDArray], program: Program, other: Program) -> Iterator[Edit]:
    """Yield a node with constants of the other program in the place of its own."""
    roles = other.roles
    known: dict[int, list[NDArray]] = {}
    for there in other.calls:
        for o in there.inputs:
            if not o.source and o.array.size > 1:
                known.setdefault(o.array.size, []).append(o.array)
    for i, o in enumerate(call.inputs):
        if o.source or not o.array.size:
            continue
        own = y[i]
        if own.dtype.kind == "f" and (own == own.flat[0]).all():
            for number in roles.get(role(call.op, i), ()):
                if number != own.flat[0]:
                    start = own.size > 1 and i == 0 and isinstance(call.op, MatMul | Affine)
                    which = "initial state, a constant," if start else "number"
                    said = f"its {which} is {own.flat[0]:.6g} {{here}} and {number:.6g} {{there}}"
                    if number == NEUTRAL.get(type(call.op)) and not start:
                        said += f", as if {call.op.name} were left out {{there}}"
                    yield Edit(said, call.op, {i: np.full(own.shape, number)})
            for number in roles.get(SCALE, ()) if isinstance(call.op, Multiply | Divide) else ():
                if number != own.flat[0]:  # nothing pairs before the whole of the attention
                    said = f"the scale is {own.flat[0]:.6g} {{here}} and {number:.6g} {{there}}"
                    yield Edit(said, call.op, {i: np.full(own.shape, number)}, far=True)
        yield from _single_and_several(call, i, own, other, roles)
        for given in known.get(own.size, ())[:MANY] if own.size > 1 else ():
            array = _in_layout(given, own.shape)
            same = array.dtype.kind == own.dtype.kind
            if same and not np.array_equal(array.ravel(), own.ravel()):
                said, vague = _difference(_name(call, i), own, wide(array))
                if vague and (taken := _taken_by(call, array, program)):
                    said += f": what {taken} takes {{here}}, another part of data"
                yield Edit(said, call.op, {i: wide(array).reshape(own.shape)}, vague=vague)


def _taken_by(call: Call, array: NDArray, program: Program) -> str:
    """The node of a program that takes the same constant; none if that is not another one."""
    for c in program.calls:
        alike = (o.array for o in c.inputs if not o.source and o.array.shape == array.shape)
        if c is not call and any(np.array_equal(a, array) for a in alike):
            return c.place.node
    return ""


def _name(call: Call, i: int) -> str:
    """A constant input in words; whole numbers of a loss are its labels."""
    labels = call.inputs[i].array.dtype.kind in "iu" and isinstance(call.op, Divergence | ClassNLL)
    return "its labels" if labels else f"its constant {i + 1}"


def _single_and_several(
    call: Call, i: int, own: NDArray, other: Program, roles: Mapping[str, Sequence[float]]
) -> Iterator[Edit]:
    """Yield an array to divide by in the place of a number, as of lengths, or the reverse."""
    if own.dtype.kind not in NUMBERS or not isinstance(call.op, Divide):
        return
    named, shape = f"its constant {i + 1}", () if call.z[0] is None else call.z[0].shape
    if not (own == own.flat[0]).all():
        for number in roles.get(role(call.op, i), ()):
            said = f"{named} is {_range(own)} {{here}} and {number:.6g} everywhere {{there}}"
            yield Edit(said, call.op, {i: np.full(own.shape, number)})
        return
    for there in other.calls:
        for k, o in enumerate(there.inputs):
            several = not o.source and o.array.dtype.kind in NUMBERS and o.array.size > own.size
            if several and role(there.op, k) == role(call.op, i) and _fits(o.array, shape):
                said = f"{named} is {own.flat[0]:.6g} {{here}} and {_range(o.array)} {{there}}"
                yield Edit(said, call.op, {i: np.asarray(o.array, np.float64)})


def _range(a: NDArray) -> str:
    """An array by its numbers, where they are few."""
    if a.size <= FEW:
        return "[" + ", ".join(f"{x:.6g}" for x in a.flat) + "]"
    return f"{a.size} numbers from {a.min():.6g} to {a.max():.6g}"


def _fits(a: NDArray, shape: tuple[int, ...]) -> bool:
    """Whether an array has different numbers and broadcasts to a shape."""
    alike = a.ndim <= len(shape) and all(
        n in (1, m) for n, m in zip(a.shape[::-1], shape[::-1], strict=False)
    )
    return alike and not (a == a.flat[0]).all()


def _difference(name: str, own: NDArray, there: NDArray) -> tuple[str, bool]:
    """The difference of two constants in words, and whether it is unknown beyond that."""
    rates = dropout_rate(own), dropout_rate(there)
    if rates[0] is not None and rates[1] is not None:
        if abs(rates[0] - rates[1]) < 1e-6:
            return f"dropout with the rate {rates[0]:.6g} has another mask {{there}}", False
        said = f"dropout has the rate {rates[0]:.6g} {{here}} and {rates[1]:.6g} {{there}}"
        return said, False
    how = relation(own, there)
    several = name.endswith("s")
    if how:
        return f"{name} {'are' if several else 'is'} {how}", False
    return f"{name} {'have' if several else 'has'} other numbers {{there}}", True


def _in_layout(a: NDArray, shape: tuple[int, ...]) -> NDArray:
    """An array of the same numbers with channels in the place where a shape has them."""
    if a.shape == shape or a.ndim != len(shape) or a.ndim < 3:
        return a
    moved = (np.moveaxis(a, -1, 1), np.moveaxis(a, 1, -1))
    return next((b for b in moved if b.shape == shape), a)
