"""The op of the other program that takes the same values, where a value has no partner there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op
from ...core.network.calls import Call, Operand
from ...core.network.composed import Composed
from ...core.vocabulary.rearranging import Slice
from ..findings.finding import as_written
from .programs.edits import values_of
from .programs.parting import without_partner
from .programs.partners import Partners
from .programs.prepared import tells
from .programs.side import Side

__all__ = ["counterpart"]

#: The most ops of one node that are written out.
WRITTEN = 6


def counterpart(one: Side, other: Side, node: str) -> str:
    """Say what each program makes of the same values, where the other has no such value.

    Of several ops of the other program the one that shares the most of its inputs is taken; without
    any it is not known what stands in the place of this node.
    """
    mine = one.nodes[node]
    lost = without_partner(other, one)
    each = [(_shared(one, other, mine, other.nodes[n]), other.nodes[n]) for n in lost]
    shared, there = max(each, key=lambda pair: len(pair[0]), default=({}, mine))
    said = "the other program has no such value"
    if not shared:
        return f"{said}, although it has all that it is made of"
    here, beyond = _in_words(mine, [*shared]), _in_words(there, [*shared.values()])
    same = "same value" if len(shared) == 1 else "same values"
    more = _rotary(mine.op, there.op)
    return (
        f"{said}: of {_listed(shared)} this one makes {here}, and of the {same} the other one "
        f"makes {beyond} at {there.place.node!r}{_line(there)}{more}"
    )


def _rotary(here: Op, there: Op) -> str:
    """Return a hint at rotary embeddings where one program takes halves, the other neighbours."""
    if not isinstance(here, Slice) or not isinstance(there, Slice):
        return ""
    if {here.step, there.step} != {1, 2}:
        return ""
    steps = {1: "by halves", 2: "by neighbours"}
    both = f"{steps[here.step]} here and {steps[there.step]} there"
    return f": parts are taken {both}, such as by rotary embeddings of either layout"


def _shared(one: Side, other: Side, mine: Call, there: Call) -> dict[str, str]:
    """The inputs of a call that another one takes too: name here -> name there."""
    found: dict[str, str] = {}
    near = one.near_recorded(other)
    taken = _inputs(other, there)
    pool = Partners(taken, near)
    for name, array in _inputs(one, mine).items():
        partners = pool.of(array)
        found.update({name: partners[0]} if partners else {})
    return found


def _inputs(side: Side, call: Call) -> dict[str, NDArray]:
    """The arrays that a call takes, by name."""
    each = zip(call.inputs, values_of(call, side.value), strict=True)
    return {_name(o, i): a for i, (o, a) in enumerate(each) if tells(a)}


def _name(o: Operand, i: int) -> str:
    return o.name or f"constant {i + 1}"


def _in_words(call: Call, known: list[str]) -> str:
    """An op with its arguments, and what it takes beside values that are named already."""
    said = ", ".join(_written(call.op))
    names = [_name(o, i) for i, o in enumerate(call.inputs)]
    rest = [name for name in names if name not in known]
    return f"{said} with {_listed(rest)}" if rest else said


def _written(op: Op) -> Iterator[str]:
    body = op.network.body if isinstance(op, Composed) else ()
    if 0 < len(body) <= WRITTEN:
        for step in body:
            yield from _written(step.op)
    else:
        yield as_written(op)


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else str(last)


def _line(call: Call) -> str:
    return f" ({call.place.source})" if call.place.source else ""
