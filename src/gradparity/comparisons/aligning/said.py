"""Places, findings and differences of two programs in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...core.network.calls import Place
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from .programs.edits import Edit
from .programs.side import Side

__all__ = ["finding_on", "once", "said_of", "where"]

#: That a node takes another value.
TAKES = re.compile(r"it takes (?P<here>\S+) (?:here|there) and (?P<there>\S+) (?:here|there)")


def finding_on(q: Quantity, place: Place, op: str, size: int, final: bool = False) -> Finding:
    """A finding that a quantity is the same in both programs."""
    found = Finding(q, place.node, op, Verdict.ROUNDING, size, final=final)
    return replace(found, module=place.module, source=place.source)


def where(place: Place) -> str:
    """A node with its module and the line of the user's code, where they are known."""
    more = ", ".join(filter(None, (place.module, place.source)))
    return f"{place.node!r} ({more})" if more else repr(place.node)


def said_of(sides: tuple[Side, Side], which: int, node: str, edit: Edit) -> str:
    """A difference in words, with the place in the other program."""
    one, other = sides
    said = edit.said.format(here=("here", "there")[which], there=("there", "here")[which])
    if which == 1:
        return f"at {where(other.nodes[node].place)} of the other program: {said}"
    z = one.value[one.nodes[node].names[0]]
    partners = other.partners.of(z)
    if not partners or z.size < 2:
        return f"{said}; with it, what is made of it pairs"
    return f"{said}; with it, it pairs with {_named(other, partners[0])}"


def once(told: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each sentence once, with its first node; numbers in it make no difference."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for at, said in _exchanges(told):
        alike.setdefault(re.sub(r"\d+", "#", said), []).append((at, said))
    for (at, said), *others in alike.values():
        if others:
            said += f", and so at {others[0][0]!r}"
            said += f" and {len(others) - 1} more" if others[1:] else ""
        yield at, said


def _exchanges(told: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The sentences, those on two nodes that take each other's values as one."""
    found: list[tuple[str, str]] = []
    takes: dict[tuple[str, str], int] = {}
    for at, said in told:
        match = TAKES.search(said)
        names = (match["here"], match["there"]) if match else ("", "")
        if match and names[::-1] in takes:
            i = takes.pop(names[::-1])
            first, before = found[i]
            found[i] = first, f"{before}; the reverse at {at!r}: the two are exchanged"
            continue
        if match:
            takes[names] = len(found)
        found.append((at, said))
    return found


def _named(side: Side, name: str) -> str:
    """A value with its place."""
    for call in side.program.calls:
        if name in call.names:
            return where(call.place)
    return repr(name)
