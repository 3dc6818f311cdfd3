"""Nodes that take one of two equal values, so that gradients go on to other parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from .gradients import Unpaired
from .programs.backward import with_gradients_in_float64
from .programs.side import Side
from .programs.values import are_near
from .said import where

__all__ = ["rerouted"]

#: The most inputs of nodes that are tried with another value.
TRIED = 24


def rerouted(
    sides: tuple[Side, Side], unpaired: Callable[[Side, Side], Unpaired]
) -> tuple[str, str]:
    """The node of the first program that takes another one of two equal values, in words.

    A straight-through estimate is such a value.  It is proved: with the gradient of the node going
    on to the other value, all gradients pair.  ("", "") if it is none.
    """
    for which in (0, 1):
        side, other = sides[which], sides[1 - which]
        for node, slot, name in islice(_equal_inputs(side), TRIED):
            made = with_gradients_in_float64(side.program, {(node, slot): name})
            if made is None:
                break
            if not any(unpaired(Side(made, side.near, side.known, side.effort), other)):
                return _said(sides, which, node, slot, name)
    return "", ""


def _equal_inputs(side: Side) -> Iterator[tuple[str, int, str]]:
    """Yield (node, slot, name) of a value that a node could take in the place of its input."""
    before: dict[str, None] = {}
    found: list[tuple[str, int, str]] = []
    for call in side.program.calls:
        for i, o in enumerate(call.inputs):
            if not o.source or o.gradient is None or o.source not in side.value:
                continue
            own = side.value[o.source]
            same = (n for n in before if n != o.source and side.value[n].shape == own.shape)
            found += [(call.place.node, i, n) for n in same
                      if are_near(side.value[n], own, side.near)]  # fmt: skip
        before.update(dict.fromkeys(side.program.gives(call)))
    yield from reversed(found)


def _said(sides: tuple[Side, Side], which: int, node: str, slot: int, name: str) -> tuple[str, str]:
    """Which of two equal values a node takes in each program, in words."""
    one, other = sides
    side = sides[which]
    own = side.nodes[node].inputs[slot].source
    made = f"the equal value {name} {('there', 'here')[which]}"
    said = f"{node} takes {own} {('here', 'there')[which]} and {made}: the gradient goes on "
    said += "another way, such as with a straight-through estimate in one program alone"
    proof = "; with the other value, all gradients pair"
    if which == 0:
        return node, f"{said}{proof}"
    partners = one.partners.of(side.value[side.nodes[node].names[0]])
    here = next((one.makers[n].place.node for n in partners if n in one.makers), "")
    return here, f"at {where(other.nodes[node].place)} of the other program: {said}{proof}"
