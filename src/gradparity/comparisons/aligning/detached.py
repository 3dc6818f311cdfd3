"""Copies of a value without a gradient, such as after ``detach``, that make two programs part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...core.programs.parts import Stopped
from .gradients import Unpaired, cut_of, parting_of_gradients
from .nearby import copies_of
from .programs.backward import with_gradients_in_float64
from .programs.side import Side
from .said import where

__all__ = ["detached"]

#: The most copies of one program that are tried.
MOST = 24

Slots = Mapping[tuple[str, int], str]


def detached(
    sides: tuple[Side, Side], unpaired: Callable[[Side, Side], Unpaired]
) -> tuple[str, str]:
    """The node of the first program at which a detached value parts gradients, in words.

    It is proved: with a gradient through these copies, all gradients pair.  ("", "") if none is.
    """
    for which in (1, 0):
        side, other = sides[which], sides[1 - which]
        copies = dict([*_stops(side, other).items()][:MOST])
        if not copies or not _pairs(side, other, copies, unpaired):
            continue
        for slot in [*copies]:
            fewer = {key: name for key, name in copies.items() if key != slot}
            if fewer and _pairs(side, other, fewer, unpaired):
                copies = fewer
        return _said(sides, which, copies)
    return "", ""


def _stops(side: Side, other: Side) -> Slots:
    """Where a program stops the gradient of a value."""
    stopped = (c for c in side.program.calls if isinstance(c.op, Stopped) and c.inputs[0].source)
    own = {key: name for key, (name, mine) in copies_of(side, other).items() if mine}
    return {**own, **{(c.place.node, 0): c.inputs[0].source for c in stopped}}


def _pairs(
    side: Side, other: Side, copies: Slots, unpaired: Callable[[Side, Side], Unpaired]
) -> bool:
    """Whether all gradients pair if copies have one as well."""
    made = with_gradients_in_float64(side.program, copies)
    if made is None:
        return False
    mine, theirs, alone = unpaired(Side(made, side.near, side.known, side.effort), other)
    return not (mine or theirs or alone)


def _said(sides: tuple[Side, Side], which: int, copies: Slots) -> tuple[str, str]:
    """Where gradients part and why, by the copies that have none."""
    one, other = sides
    (node, _), name = next(iter(copies.items()))
    more = f" (and {len(copies) - 1} more)" if len(copies) > 1 else ""
    at, why = where(sides[which].nodes[node].place), "such as after detach or stop_gradient"
    proof = f"{why}{more}; with a gradient there, all gradients pair"
    if which == 0:
        said = f"the gradient of {name} through {node} is missing here: it is a constant, {proof}"
        return node, said
    found = cut_of(other, one)
    if found and found.sure and found.node == node:
        through, name = found.through, found.name
    else:
        through = parting_of_gradients(one, other)[0] or node
    said = f"the gradient of {name} through {through} is missing there: it is a constant at {at} "
    return through, f"{said}of the other program, {proof}"
