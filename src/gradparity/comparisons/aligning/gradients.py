"""The gradients of two programs whose values all pair: of parameters, and where they first part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call, Operand
from ...core.programs.parts import Stopped
from .programs.noise import is_noise
from .programs.packed import partners_of_parts
from .programs.partners import Elements, Known, Partners, sorted_elements
from .programs.side import Side
from .programs.values import are_near

__all__ = [
    "Cut",
    "Unpaired",
    "arrived",
    "cut_of",
    "parting_of_gradients",
    "together",
    "unpaired_gradients",
]

#: The names of gradients without a partner in one program, in the other, and not compared.
Unpaired: TypeAlias = tuple[list[str], list[str], list[str]]
#: The most arrays of one size that are tried together.
MOST_PACKED = 24
#: The fewest elements of a constant that may be a value whose gradient is cut.
NUMBERS_OF_A_VALUE = 4


def together(arrays: Mapping[str, NDArray], known: Known) -> dict[str, Elements]:
    """The elements of each array, and those of several of one size as one.

    Two or three of any names, as q, k and v may be packed, and all that differ in a number of their
    names, as layers and experts may be stacked.
    """
    found = {name: known.of(array) for name, array in arrays.items()}
    by_size: dict[int, list[str]] = {}
    for name, array in arrays.items():
        by_size.setdefault(array.size, []).append(name)
    groups = [
        some
        for names in by_size.values()
        for n in (2, 3)
        if len(names) <= MOST_PACKED
        for some in combinations(names, n)
    ]
    stacks: dict[tuple[str, int], list[str]] = {}
    for name, array in arrays.items():
        for digits in re.finditer(r"\d+", name):
            numbered = f"{name[: digits.start()]}#{name[digits.end() :]}"
            stacks.setdefault((numbered, array.size), []).append(name)
    groups += [(*names,) for names in stacks.values() if len(names) > 3]
    found.update(("+".join(some), Elements(*(found[name] for name in some))) for some in groups)
    return found


def unpaired_gradients(one: Side, other: Side) -> Unpaired:
    """The gradients by leaves of `one` without a partner, of `other`, and what is not compared.

    Gradients that are zero by structure are left out; one that is not compared is by a leaf that
    the other program does not differentiate by.
    """
    lacking = _lacking(one.program.got, other.program.got, one.near_recorded(other))
    mine = [n for n in lacking[0] if not is_noise(one, n)]
    theirs = [n for n in lacking[1] if not is_noise(other, n)]
    if mine and not theirs:
        alone = _alone(mine, one, other)
        return [n for n in mine if n not in alone], theirs, alone
    if theirs and not mine:
        alone = _alone(theirs, other, one)
        return mine, [n for n in theirs if n not in alone], alone
    return mine, theirs, []


def _alone(names: list[str], side: Side, other: Side) -> list[str]:
    """Those of some leaves by which the other program is not differentiated."""
    if _silent(other):
        return []
    leaves, got = other.program.leaves, other.program.got
    held = Partners({n: leaves[n] for n in got if n in leaves}, side.near_recorded(other))
    own = side.program.leaves
    return [n for n in names if n in own and not held.has(own[n])]


def _silent(side: Side) -> list[str]:
    """The leaves of a program whose gradient is zero."""
    return [n for n, got in side.program.got.items() if not np.any(got)]


def _lacking(
    own: Mapping[str, NDArray], there: Mapping[str, NDArray], near: float
) -> tuple[list[str], list[str]]:
    """The names of the gradients that the other program has not, alone, packed or split."""
    known, got = Known(own, there), (own, there)
    pools = Partners(own, near, known), Partners(there, near, known)
    left = [[n for n, a in got[i].items() if not pools[1 - i].has(a)] for i in (0, 1)]
    split = [
        {n: partners_of_parts(got[i][n], got[1 - i], pools[1 - i]) for n in left[i]} for i in (0, 1)
    ]
    for i in (0, 1):
        parts = {part for names in split[1 - i].values() for part in names}
        left[i] = [n for n in left[i] if not split[i][n] and n not in parts]
    if not any(left):
        return [], []
    joined = together(own, known), together(there, known)
    for i in (0, 1):
        if left[i]:
            packed = Partners(joined[1 - i], near, known)
            parts = {
                part
                for names, elements in joined[i].items()
                if "+" in names and pools[1 - i].has(elements)
                for part in names.split("+")
            }
            left[i] = [n for n in left[i] if n not in parts and not packed.has(got[i][n])]
    return left[0], left[1]


def arrived(side: Side) -> dict[str, NDArray]:
    """The gradient that arrived at each value."""
    return {
        name: dz
        for call in side.program.calls
        for name, dz in zip(call.names, call.dz, strict=False)
        if name in side.value and dz is not None
    }


def parting_of_gradients(one: Side, other: Side) -> tuple[str, str]:
    """The node nearest to the loss after which gradients part, and what is known about it.

    A value whose gradient has no partner, although it and what depends on it have: its uses are
    tried one by one without their gradient, which may be detached in the other program.
    """
    own, there, near = arrived(one), arrived(other), one.near_recorded(other)
    pool = Partners({**there, **other.program.got}, near)
    totals_there = Partners(other.program.got, near)
    totals = {**own, **one.program.got}
    values = {**one.program.leaves, **one.value}
    order = [n for call in reversed(one.program.calls) for n in one.program.gives(call)]
    for name in [*order, *one.program.recording.leaves]:
        total = totals.get(name)
        if total is None or not np.any(total) or pool.has(total):
            continue
        if name in values and not other.partners.has(values[name]):
            continue
        uses = [
            (call.place.node, o.gradient)
            for call in one.program.calls
            for o in call.inputs
            if o.source == name and o.gradient is not None
        ]
        for node, gradient in uses:
            rest = total - gradient.reshape(total.shape) if gradient.size == total.size else None
            if rest is None:
                continue
            if len(uses) > 1 and pool.has(rest):
                parts = [totals_there.of(a) for a in (gradient, rest)]
                return node, _missing(name, node, *parts)
            if pool.has(total + gradient.reshape(total.shape)):
                return node, f"the gradient of {name} through {node} counts twice {{there}}"
        for partner in other.partners.of(values[name]) if name in values else ():
            got = {**there, **other.program.got}.get(partner)
            if got is not None and np.any(got) and got.size == total.size:
                a, b = sorted_elements(total), sorted_elements(got)
                i = int(np.abs(a).argmax())
                times = float(b[i] / a[i])
                if are_near(a * times, b, near):
                    return name, f"the gradient of {name} is {times:.6g} times as large {{there}}"
        node = uses[0][0] if uses else name
        said = f"the gradient of {name} differs, although all values are the same"
        return node, said + _rows_left_out(total, [*other.program.got.values()])
    return "", ""


def _missing(name: str, node: str, through: list[str], rest: list[str]) -> str:
    """Say that one use's gradient is missing there, or belongs to another parameter there."""
    said = f"the gradient of {name} through {node} is "
    if not through or not rest or through[0] == rest[0]:
        return f"{said}missing {{there}}"
    return f"{said}that by {through[0]!r} {{there}}, and the rest that by {rest[0]!r}: not tied"


def _rows_left_out(got: NDArray, there: list[NDArray]) -> str:
    """The rows that are zero in one of two gradients alone, where they are all the difference."""
    for other in there:
        if got.ndim < 2 or other.shape != got.shape:
            continue
        lost: list[Any] = [~np.isfinite(a.reshape(len(a), -1)).all(1) for a in (got, other)]
        only = np.flatnonzero(lost[0] != lost[1])
        if only.size:
            place = "{here}" if lost[0][only[0]] else "{there}"
            return f": row {only[0]} is not finite {place} alone"
        rows = [np.any(a.reshape(len(a), -1), axis=1) for a in (got, other)]
        both = rows[0] & rows[1]
        alone = np.flatnonzero(rows[0] != rows[1])
        near = 1e-6 * np.abs(got).max(initial=0.0)
        if both.any() and len(alone) == 1 and np.abs(got - other)[both].max() <= near:
            place = "{here}" if rows[1][alone[0]] else "{there}"
            return f": row {alone[0]} is zero {place} alone, such as with padding_idx"
    return ""


class Cut(NamedTuple):
    """An input of a node that has a gradient in one program and is a constant in the other.

    Attributes
    ----------
    node, name : where the gradient is missing, and what the value is called where it has one; ""
        if that program computes the node without it.
    through : the node through which it comes there.
    sure : whether a node that has a partner takes it in both programs.
    """

    node: str
    name: str
    through: str
    sure: bool = False


def cut_of(side: Side, other: Side) -> Cut | None:
    """The node of `side` nearest to the loss with an input that is detached in it alone.

    The input is a constant, such as a value after ``detach`` or ``stop_gradient``, and in `other`
    a value of the same numbers has a gradient through the same node, or through another one if
    that node has no partner.
    """
    stopped = {
        n for call in other.program.calls if isinstance(call.op, Stopped) for n in call.names
    }
    flowing = {
        f"{call.place.node} {i}": (call.place.node, o)
        for call in other.program.calls
        for i, o in enumerate(call.inputs)
        if o.source and o.source not in stopped and _flows(o) and o.array.dtype.kind == "f"
    }
    near = side.near_recorded(other)
    pool = Partners({key: o.array for key, (_, o) in flowing.items()}, near)
    unsure: Cut | None = None
    for call in reversed(side.program.calls):
        if not any(dz is not None and np.any(dz) for dz in call.dz):
            continue
        for o in call.inputs:
            if _flows(o) or o.array.dtype.kind != "f" or not np.any(o.array):
                continue
            uses = [flowing[key] for key in pool.of(o.array)]
            partners = _partners(call, o, side, other)
            same = [(node, use) for node, use in uses if node in partners]
            if uses and not _is_cut_more(o, side, other):
                continue
            if same:
                return Cut(call.place.node, same[0][1].source, same[0][0], True)
            if uses and not partners and unsure is None:
                unsure = Cut(call.place.node, uses[-1][1].source, uses[-1][0])
            if partners and not uses and unsure is None and _is_computed(o, side, other):
                unsure = Cut(call.place.node, "", partners[0])
    return unsure


def _partners(call: Call, o: Operand, side: Side, other: Side) -> list[str]:
    """The nodes of `other` that give what a call gives; those after it where it gives its input."""
    makers = {n: c.place.node for c in other.program.calls for n in c.names}
    todo, found = [call], []
    for c in todo:
        for name in side.program.gives(c):
            z = side.value[name]
            if z.size == o.array.size and Partners({"": o.array}, side.program.near).has(z):
                todo += [side.nodes[node] for node in side.program.users.get(name, ())]
            else:
                found += [makers[n] for n in other.partners.of(z) if n in makers]
    return found


def _is_cut_more(o: Operand, side: Side, other: Side) -> bool:
    """Whether more inputs of these numbers have no gradient than in the other program."""
    mine, theirs = (
        sum(
            not _flows(p) and p.array.size == o.array.size and pool.has(p.array)
            for call in program.calls
            if any(dz is not None and np.any(dz) for dz in call.dz)
            for p in call.inputs
            if p.array.dtype.kind == "f"
        )
        for pool in [Partners({"": o.array}, side.near_recorded(other))]
        for program in (side.program, other.program)
    )
    return mine > theirs


def _is_computed(o: Operand, side: Side, other: Side) -> bool:
    """Whether a constant looks like a value computed before, which `other` does not have."""
    if o.source or o.array.size < NUMBERS_OF_A_VALUE or other.partners.has(o.array):
        return False
    return np.unique(o.array[np.isfinite(o.array)]).size * 2 > o.array.size


def _flows(o: Operand) -> bool:
    return o.gradient is not None and bool(np.any(o.gradient))
