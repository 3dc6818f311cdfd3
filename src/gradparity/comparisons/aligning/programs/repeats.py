"""The nodes of a program that repeat one: in a loop, in each layer, or in each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .lines import unnumbered

if TYPE_CHECKING:
    from .side import Side

__all__ = ["first_of_repeated", "on_its_line", "repeats"]


def on_its_line(side: Side, node: str) -> list[str]:
    """The nodes that a line of the user's code made with the same op, such as in a loop."""
    place, op = side.nodes[node].place, side.nodes[node].op
    if not place.source or node in side.edits:
        return [node]
    return [
        name
        for name, call in side.nodes.items()
        if call.place.source == place.source and call.place.module == place.module
        if type(call.op) is type(op) and call.op == op and name not in side.edits
        if unnumbered(name) == unnumbered(node)
    ]


def repeats(side: Side, node: str) -> Iterator[list[str]]:
    """Yield the nodes that may repeat one: those on its line, and fewer of them.

    Those with the same parameters, such as of one of several layers, and those that take what the
    same ops give, such as of the two tanh on one line.
    """
    some = on_its_line(side, node)
    for alike in (_parameters, _makers):
        yield [name for name in some if alike(side, name) == alike(side, node)]
    yield some


def first_of_repeated(side: Side, nodes: Sequence[str]) -> list[str]:
    """The nodes without those that repeat an earlier one on its line, of what the same ops give."""
    found: list[str] = []
    seen: set[str] = set()
    for node in nodes:
        if node not in seen:
            found.append(node)
            makers = _makers(side, node)
            seen.update(n for n in on_its_line(side, node) if _makers(side, n) == makers)
    return found


def _parameters(side: Side, node: str) -> list[str]:
    sources = [o.source for o in side.nodes[node].inputs]
    return [s for s in sources if s in side.program.layouts]


def _makers(side: Side, node: str) -> list[type]:
    """The ops that give what a node takes."""
    taken = (o.name for o in side.nodes[node].inputs)
    return [type(side.makers[name].op) for name in taken if name in side.makers]
