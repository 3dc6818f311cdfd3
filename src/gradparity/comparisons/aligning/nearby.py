"""Two programs at other parameters, close to those recorded, where nothing is at a kink by chance.

Zeros, ones and ties hide what a function does: equal values may come from other functions, and of
equal functions each may take another gradient at a kink.  Close by neither happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.layers import Multiply
from ...core.network.calls import Call, Operand
from ...core.programs.indexing import Index
from ...core.vocabulary.pairs import Where
from .parameters.agreement import tells_elements_apart
from .parameters.arrangements import index_of
from .programs.edits import computed, values_of, wide
from .programs.partners import Partners
from .programs.prepared import tells
from .programs.side import Side
from .programs.values import Program, are_near

__all__ = ["at", "copies_of", "moved"]

#: How far parameters are moved, relative to the largest element of each.
STEP = 1e-3


def moved(
    one: Program, other: Program, near: float, mapped: Mapping[str, str], sure: bool = False
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Other numbers for the parameters that both programs have: the same ones in both.

    Parameters with equal numbers of which nothing tells which is which stay as they are.

    Parameters
    ----------
    mapped : parameters of `one` -> those of `other` that they are, where that is known.
    sure : whether those stay as they are too of which the order of equal elements is not known.
    """
    rng = np.random.default_rng(0)
    here: dict[str, NDArray] = {}
    there: dict[str, NDArray] = {}
    for names, theirs in _classes(one, other, near):
        pairs = _pairs(one, other, near, names, theirs, mapped)
        first = one.leaves[names[0]]
        scale = float(np.abs(first).max(initial=0.0)) or 1.0
        for mine, others in pairs:
            index = {b: _index(one, other, mine[0], other, b, near, sure) for b in others}
            index |= {a: _index(one, other, mine[0], one, a, near, sure) for a in mine[1:]}
            if any(i is None for i in index.values()):
                continue
            value = wide(one.leaves[mine[0]])
            value = value + STEP * scale * rng.standard_normal(value.shape)
            here[mine[0]] = value
            for name, i in index.items():
                (there if name in others else here)[name] = value.ravel()[i]
    return here, there


def _index(
    one: Program, other: Program, a: str, program: Program, b: str, near: float, sure: bool
) -> NDArray | None:
    """The index in parameter `a` of `one` of every element of parameter `b`.

    None if that cannot be told; if it has to be `sure`, neither by its number nor its gradient.
    """
    got = wide(one.got[a]), wide(program.got[b])
    index = index_of(one.leaves[a], program.leaves[b], got, near)
    if index is None or not sure or tells_elements_apart(one.leaves[a]):
        return index
    return index if are_near(got[0].ravel()[index], got[1].reshape(index.shape), near) else None


def _classes(one: Program, other: Program, near: float) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the parameters of both programs that have the same numbers."""
    mine, theirs = Partners(one.leaves, near), Partners(other.leaves, near)
    seen: set[str] = set()
    for name, value in one.leaves.items():
        if name not in seen and (found := theirs.of(value)):
            names = mine.of(value)
            seen.update(names)
            yield names, found


def _pairs(
    one: Program,
    other: Program,
    near: float,
    names: list[str],
    theirs: list[str],
    mapped: Mapping[str, str],
) -> list[tuple[list[str], list[str]]]:
    """Which of several parameters with the same numbers are the same ones.

    All are one parameter if one program has it once, as one that is tied there.
    """
    if 1 in (len(names), len(theirs)):
        return [(names, theirs)]
    left, found = [*theirs], []
    for name in names:
        by_gradient = Partners({n: other.got[n] for n in left}, near).of(one.got[name])
        known = [n for n in left if n == mapped.get(name)] or [n for n in left if n == name]
        choice = known or (by_gradient if np.any(one.got[name]) else [])
        if len(choice) == 1:
            left.remove(choice[0])
            found.append(([name], choice))
    return found


def at(
    program: Program, leaves: Mapping[str, NDArray], copies: Mapping[tuple[str, int], NDArray | str]
) -> Program | None:
    """A program with other numbers of its parameters; None if some node has no value then.

    Comparisons that a program made with its own values are made anew where these were at a tie, and
    so are the places of the largest elements.

    Parameters
    ----------
    copies : (node, slot) -> what a constant is a copy of: the name of a value, or numbers.
    """
    value: dict[str, NDArray] = {}
    now = {**{n: wide(a) for n, a in program.leaves.items()}, **leaves}
    calls: list[Call] = []
    for call in program.calls:
        known = {**now, **value}
        originals = (copies.get((call.place.node, i), "") for i in range(len(call.inputs)))
        each = zip(call.inputs, originals, strict=True)
        inputs = tuple(_operand(o, known, original) for o, original in each)
        made = _chosen_anew(replace(call, inputs=inputs), values_of(call, program.value))
        z = computed(made.op, values_of(made, value), value)
        if not z:
            return None
        named = zip(call.names, z, strict=False)
        value.update((n, a) for n, a in named if n in program.value)
        calls.append(replace(made, z=tuple(z)))
    if program.value.keys() - value.keys():
        return None
    now = {n: now[n] for n in program.leaves}
    return replace(program, calls=tuple(calls), value=value, leaves=now)


def _operand(o: Operand, known: Mapping[str, NDArray], original: NDArray | str) -> Operand:
    new = original if isinstance(original, np.ndarray) else known.get(o.name or original)
    fits = new is not None and new.size == o.array.size
    return replace(o, array=new.reshape(o.array.shape)) if new is not None and fits else o


def copies_of(side: Side, other: Side) -> dict[tuple[str, int], tuple[str, bool]]:
    """(node, slot) -> the value whose numbers a constant has, as after ``detach``.

    And whether it is one of this program, or else of the other one.  A constant that both programs
    have is none.
    """
    constants = Partners(
        {
            f"{call.place.node} {i}": o.array
            for call in other.program.calls
            for i, o in enumerate(call.inputs)
            if not o.name and tells(o.array)
        },
        side.near,
    )
    there = {**other.program.leaves, **other.value}
    pool = Partners(there, side.near, side.known)
    own = {_bits(a): name for name, a in side.program.leaves.items() if tells(a)}
    found: dict[tuple[str, int], tuple[str, bool]] = {}
    for call in side.program.calls:
        for i, o in enumerate(call.inputs):
            if o.name or not tells(o.array) or constants.has(o.array):
                continue
            if name := own.get(_bits(o.array), ""):
                found[call.place.node, i] = name, True
            elif names := [n for n in pool.of(o.array) if _is_alike(there[n], o.array)]:
                found[call.place.node, i] = names[0], False
        for name, z in zip(call.names, call.z, strict=False):
            if name in side.value and z is not None and tells(z):
                own.setdefault(_bits(z), name)
    return found


def _is_alike(a: NDArray, b: NDArray) -> bool:
    """Whether two arrays lie alike but for axes of length 1, so that one is a copy of the other."""
    return [n for n in a.shape if n > 1] == [n for n in b.shape if n > 1]


def _bits(a: NDArray) -> tuple[str, bytes]:
    return a.dtype.str, np.ascontiguousarray(a).tobytes()


def _chosen_anew(call: Call, before: Sequence[NDArray]) -> Call:
    """A call with its masks and places for the new values, where those recorded met a tie."""
    y = tuple(wide(o.array) for o in call.inputs)
    slot, new = None, None
    if isinstance(call.op, Where) and not call.inputs[0].name:
        keys = ((before[1] - before[2], y[1] - y[2]), (before[1], y[1]), (before[2], y[2]))
        slot, new = 0, next(filter(_is_some, (_by_sign(before[0], *k) for k in keys)), None)
    elif isinstance(call.op, Multiply):
        slot = next((i for i in (0, 1) if not call.inputs[i].name), None)
        if slot is not None:
            new = _by_sign(before[slot], before[1 - slot], y[1 - slot])
    elif isinstance(call.op, Index):
        slot, new = _places(call, before, y)
    if slot is None or new is None:
        return call
    inputs = [*call.inputs]
    inputs[slot] = replace(inputs[slot], array=new.astype(inputs[slot].array.dtype))
    return replace(call, inputs=tuple(inputs))


def _is_some(a: NDArray | None) -> bool:
    return a is not None


def _by_sign(mask: NDArray, key: NDArray, new: NDArray) -> NDArray | None:
    """A mask that was made from the sign of a value, for new values where that was 0.

    None if it was not, or nothing was 0.
    """
    if mask.shape != key.shape or not (key == 0).any():
        return None
    above, below = np.unique(mask[key > 0]), np.unique(mask[key < 0])
    if len(above) != 1 or len(below) != 1 or above[0] == below[0]:
        return None
    return np.where(key == 0, np.where(new > 0, above[0], below[0]), mask)


def _places(
    call: Call, before: Sequence[NDArray], y: Sequence[NDArray]
) -> tuple[int | None, NDArray | None]:
    """The slot of the places that are taken along an axis, and the new ones of the extremes."""
    *places, z = before
    for axis, ids in enumerate(places):
        if len(places) != z.ndim or call.inputs[axis].name or ids.dtype.kind not in "iu":
            continue
        for largest, argument in ((np.max, np.argmax), (np.min, np.argmin)):
            best = largest(z, axis=axis, keepdims=True)
            if ids.shape == best.shape and np.array_equal(_taken(z, ids, axis), best):
                return axis, argument(y[-1], axis=axis, keepdims=True)
    return None, None


def _taken(z: NDArray, ids: NDArray, axis: int) -> NDArray:
    return np.take_along_axis(z, ids, axis)
