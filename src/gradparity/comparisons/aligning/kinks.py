"""Gradients of two programs that differ at kinks alone: the programs are the same close by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call
from ..findings.finding import KinkSummary, choice_in_words
from .causes.search import Search, parted_of
from .gradients import parting_of_gradients
from .nearby import at, copies_of, moved
from .parameters.mapped import Mapped
from .programs.backward import with_gradients_in_float64
from .programs.effort import Effort
from .programs.partners import Known
from .programs.side import Side
from .programs.values import Program
from .said import said_of, where

__all__ = ["Choices", "Hidden", "kinks_in_words", "nearby"]

#: Node -> what a program takes at its kinks, of both programs.
Choices: TypeAlias = tuple[Mapping[str, KinkSummary], Mapping[str, KinkSummary]]
HIDES = "the numbers recorded hide it: values differ with others of the parameters"
CLOSE_BY = "close by, where nothing is at a kink, all values and these gradients are the same"
#: What the search for a hidden difference may cost.
LITTLE = 1e9
#: The elements that get the gradient at a tie.
SHARES = {"first": "the first", "last": "the last", "even": "equal shares"}
#: The most nodes at kinks that are named.
NAMED = 3


class Hidden(NamedTuple):
    """Programs that are other functions, although all recorded values pair.

    Attributes
    ----------
    node, said : of the first program, and the cause; "" if none is found.
    """

    node: str
    said: str


def nearby(
    sides: tuple[Side, Side], mapped: Mapping[str, Mapped], sure: bool = False
) -> tuple[Side, Side] | Hidden | None:
    """Both programs at parameters close by, with gradients by formulas in float64.

    None if they cannot be computed there.  Only parameters of which it is `sure` which element is
    which are moved, if the gradients are the same so far.
    """
    one, other = sides
    single = {
        m.one[0]: m.other[0] for m in mapped.values() if len(m.one) == len(m.other) == 1
    }  # fmt: skip
    here, there = moved(one.program, other.program, one.near, single, sure)
    programs = _computed(sides, here, there) if here and there else None
    if programs is None:
        return None
    made = _sides(sides, *programs)
    parted = parted_of(made)
    ends = all(made[0].ends_alike(n, made[0].value[n], made[1]) for n in one.program.losses)
    if any(parted) or not ends:
        return _hidden(made, parted)
    found = [with_gradients_in_float64(program) for program in programs]
    if found[0] is None or found[1] is None:
        return None
    return _sides(sides, found[0], found[1])


def _computed(
    sides: tuple[Side, Side], here: Mapping[str, NDArray], there: Mapping[str, NDArray]
) -> tuple[Program, Program] | None:
    """Both programs with other parameters; copies of a value without a gradient follow it."""
    one, other = sides
    copies = copies_of(one, other), copies_of(other, one)
    own = [{key: name for key, (name, mine) in each.items() if mine} for each in copies]
    found = at(other.program, there, own[1])
    made = found and at(one.program, here, {**own[0], **_numbers(copies[0], found)})
    if made and any(not mine for _, mine in copies[1].values()):
        found = at(other.program, there, {**own[1], **_numbers(copies[1], made)})
    return (made, found) if made and found else None


def _numbers(
    copies: Mapping[tuple[str, int], tuple[str, bool]], other: Program
) -> dict[tuple[str, int], NDArray]:
    """The numbers of the copies of a value of the other program."""
    known = {**other.leaves, **other.value}
    return {key: known[name] for key, (name, mine) in copies.items() if not mine}


def _sides(sides: tuple[Side, Side], one: Program, other: Program) -> tuple[Side, Side]:
    known = Known(one.value, one.leaves, other.value, other.leaves)
    near, effort = sides[0].near, Effort(LITTLE)
    return Side(one, near, known, effort), Side(other, near, known, effort)


def _hidden(sides: tuple[Side, Side], parted: tuple[list[str], list[str]]) -> Hidden:
    """The one change with which the programs are the same with other numbers as well."""
    best = Search(sides, parted).found() if any(parted) else None
    if best is None:
        return Hidden("", "")
    made = (best.made, sides[1]) if best.which == 0 else (sides[0], best.made)
    if any(parted_of(made)):
        return Hidden("", "")
    node = best.node if best.which == 0 else (parted[0] or [""])[0]
    return Hidden(node, f"{said_of(made, best.which, best.node, best.edit)}; {HIDES}")


def kinks_in_words(sides: tuple[Side, Side], near: tuple[Side, Side], choices: Choices) -> str:
    """Return a sentence on what each program takes at the kinks; "" if nothing is at one.

    A gradient that is not finite is no choice.
    """
    if not all(np.isfinite(a).all() for side in sides for a in side.program.got.values()):
        return ""
    own = [_kinked(sides[i], sides[1 - i], near[i].program, choices[i]) for i in (0, 1)]
    parted = parting_of_gradients(*sides)[0], parting_of_gradients(*sides[::-1])[0]
    each = [
        {parted[i]: own[i][parted[i]]} if parted[i] in own[i] else own[i] for i in (0, 1)
    ]  # fmt: skip
    if not any(each):
        return ""
    said = [
        f"{where(sides[i].nodes[node].place)}{of} {taken}"
        for i, of in ((0, ""), (1, " of the other program"))
        for node, taken in [*each[i].items()][:NAMED]
    ]
    return f"both gradients are valid: {'; '.join(said)}; {CLOSE_BY}"


def _kinked(
    side: Side, other: Side, near: Program, choices: Mapping[str, KinkSummary]
) -> dict[str, str]:
    """The nodes at kinks to which a gradient arrives, nearest to the loss first, in words."""
    program, chosen = side.program, {*_chosen(side, other, near)}
    found: dict[str, str] = {}
    for call in reversed(program.calls):
        node = call.place.node
        if (kinks := choices.get(node)) is not None:
            found[node] = _in_words(kinks)
        elif node in chosen:
            found[node] = "chooses by a comparison of its own at a tie"
    return found


def _in_words(kinks: KinkSummary) -> str:
    n, taken = kinks.count, [SHARES.get(what, choice_in_words(what)) for what in kinks.taken]
    if kinks.taken.keys() & SHARES.keys():
        return f"has {'1 tie' if n == 1 else f'{n} ties'} and takes {' or '.join(taken)}"
    return f"has {'1 element' if n == 1 else f'{n} elements'} at a kink and takes {kinks.choice}"


def _chosen(side: Side, other: Side, near: Program) -> Iterator[str]:
    """The nodes whose masks or places are others close by: their numbers are at a tie."""
    copies = copies_of(side, other)
    for call, made in zip(side.program.calls, near.calls, strict=True):
        slots = (i for i in range(len(call.inputs)) if (call.place.node, i) not in copies)
        if any(_differs(call, made, i) for i in slots):
            yield call.place.node


def _differs(call: Call, made: Call, i: int) -> bool:
    o = call.inputs[i]
    return not o.name and not np.array_equal(o.array, made.inputs[i].array)
