"""The values and losses of two programs: the same, where they part and why, or healed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...core.network.calls import Call
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict, as_written
from .counterpart import counterpart
from .inputs import OtherInput
from .programs.edits import Edit
from .programs.side import Side
from .said import finding_on, once, said_of, where

__all__ = ["Difference", "findings_on_losses", "findings_on_values", "notes_of"]

HEALED = "has no partner, and all that depends on it has one"


class Difference(NamedTuple):
    """A difference that is explained: in which program, at which node, and the change of it.

    `at` is the node at which the first program parts.
    """

    which: int
    node: str
    edit: Edit
    at: str


def notes_of(
    sides: tuple[Side, Side],
    inputs: Sequence[OtherInput],
    differences: Sequence[Difference],
    left: tuple[Sequence[str], Sequence[str]],
) -> dict[str, str]:
    """Return node of the first program -> what is different there.

    Parameters
    ----------
    sides : with the differences corrected.
    inputs : those that hold other numbers.
    differences : those that are explained.
    left : the nodes of each at which they still part.
    """
    one, other = sides
    told = [(each.node, str(each)) for each in inputs]
    told += [(d.at, said_of(sides, d.which, d.node, d.edit)) for d in differences]
    notes: dict[str, str] = {}
    for at, said in once(told):
        notes[at] = f"{notes[at]}; next, {said}" if at in notes else said
    more = [n for n in left[0] if not one.is_preparation(one.nodes[n])]
    # What is done to data is told where nothing that is made of it is.
    for node in more if more or notes else left[0]:
        notes.setdefault(node, counterpart(one, other, node))
    if left[1] and not left[0] and not notes:  # it shows in the other program alone
        place = where(other.nodes[left[1][0]].place)
        notes[""] = f"this program has no value that the other one has at {place}"
    if "" in notes and one.program.calls:  # at no node of this program
        notes.setdefault(one.program.calls[-1].place.node, notes.pop(""))
    return notes


def findings_on_values(one: Side, other: Side, notes: dict[str, str]) -> Iterator[Finding]:
    """Yield one finding for every value of `one`, with the notes of `notes_of`."""
    lost, notes = one.lost(other), dict(notes)
    for call in one.program.calls:
        node = call.place.node
        for name in one.program.gives(call):
            found = _pairing(name, call, one)
            if node in notes:  # several results of a node are one difference
                yield replace(found, verdict=Verdict.MISMATCH, note=notes.pop(node))
            elif name in lost:
                yield replace(found, verdict=Verdict.VACUOUS, elements=0, note=HEALED)
            else:
                yield found


def findings_on_losses(one: Side, other: Side) -> Iterator[Finding]:
    """Yield the losses that differ, for programs whose other values all pair."""
    for name in one.program.losses:
        there = [other.value[n] for n in other.program.losses]
        if one.ends_alike(name, one.value[name], other):
            continue
        numbers = float(one.value[name].reshape(())), float(there[0].reshape(()))
        said = "the losses are {:.9g} here and {:.9g} there".format(*numbers)
        yield replace(_pairing(name, one.makers[name], one), verdict=Verdict.MISMATCH, note=said)


def _pairing(name: str, call: Call, one: Side) -> Finding:
    size = one.program.value[name].size
    return finding_on(Quantity.value(name), call.place, as_written(call.op), size)
