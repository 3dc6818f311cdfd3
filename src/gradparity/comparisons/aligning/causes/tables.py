"""Tables of cosines and sines of positions that two programs make with another base each."""

from __future__ import annotations

from collections.abc import Iterator

from ....core.network.calls import Call
from ..programs.edits import Edit, values_of, wide
from ..programs.side import Side
from .positions import base_of, with_base

__all__ = ["other_tables"]


def other_tables(side: Side, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
    """Yield (nodes, change) of all tables of one base, with the base of the other program's.

    Cosines and sines have to change together before a value has a partner, and the two programs
    may hold them in other shapes, such as for halves.
    """
    own = _bases_at(side, call)
    for base in dict.fromkeys(own.values()):
        there = (b for c in other.program.calls for b in _bases_at(other, c).values())
        for new in dict.fromkeys(b for b in there if b != base):
            each: dict[str, Edit] = {}
            for c in side.program.calls:
                slots = [i for i, b in _bases_at(side, c).items() if b == base]
                y = values_of(c, side.value) if slots else ()
                tables = {i: with_base(y[i], base, new) for i in slots}
                if tables and c.place.node not in side.edits:
                    each[c.place.node] = Edit("", c.op, tables)
            said = "each of its tables of positions, as cosines or sines, has the base "
            said += f"{base:.6g} {{here}} and {new:.6g} {{there}}"
            yield [*each], Edit(said, call.op, each=each)


def _bases_at(side: Side, call: Call) -> dict[int, float]:
    """The inputs of a call without a gradient that are such tables, with the base of each."""
    if side.is_preparation(call):
        return {}
    arrays = {i: side.value.get(o.data, o.array) for i, o in enumerate(call.inputs) if not o.source}
    found = {i: base_of(wide(a)) for i, a in arrays.items()}
    return {i: base for i, base in found.items() if base is not None}
