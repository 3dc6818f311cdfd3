"""The search for the change of a node with which the most values of two programs pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ....core.programs.indexing import Unstack
from ....core.vocabulary.rearranging import Split
from ..programs.edits import FAILED, Edit, at_others, general
from ..programs.parting import after, healed_before, parting, preparations_of, without_partner
from ..programs.repeats import first_of_repeated, repeats
from ..programs.side import Side
from .activations import other_activations
from .everywhere import everywhere
from .fitting import Fitting
from .joins import other_joins, other_parts
from .limits import other_limits
from .orders import Orders
from .replacements import ACTIVATIONS
from .rolls import other_rolls
from .roots import other_roots
from .rotary import other_rotations
from .swapped import swapped
from .tables import other_tables
from .turned import turned
from .unused import unused_parameters

__all__ = ["Found", "Search", "lost_in", "parted_of"]

#: The most changes of a node that are tried on the whole program.
TRIED = 12
#: The activations that are ops.
ELEMENTWISE = tuple({type(op) for op in ACTIVATIONS})
#: How many of several nodes at which two programs part are looked before.
FIRST = 3
#: How many nodes, and changes of each, are tried as the first of two differences in a row.
FEW, FEW_CAUSES = 2, 6
#: How many nodes after those where two programs part are looked at.
LATER = 8
#: How many steps before those, and how many of the nodes there of which all that is made pairs.
EARLIER, FEW_EARLIER = 4, 4
#: How many nodes that prepare data for those where two programs part are looked at.
PREPARED = 8
#: How many nodes without a partner are tried with what only the loss shows, and the part of the
#: work that this may cost.
FAR, DEEP = 24, 0.1

Nodes = tuple[list[str], list[str]]


class Found(NamedTuple):
    """A change of one program, the program with it, and how many values have no partner then.

    The number is -1 if all that matters has one.
    """

    which: int
    node: str
    edit: Edit
    made: Side
    lost: int


def parted_of(sides: tuple[Side, Side]) -> Nodes:
    """The nodes of each of two programs at which it parts from the other one."""
    one, other = sides
    each = parting(one, other), parting(other, one)
    return [c.place.node for c in each[0]], [c.place.node for c in each[1]]


def lost_in(one: Side, other: Side) -> int:
    """The number of values of two programs without a partner."""
    return len(one.lost(other)) + len(other.lost(one))


class Search:
    """The changes that may be the difference of two programs, where they part.

    Attributes
    ----------
    sides, parted : the two programs, and the nodes of each at which it parts from the other one.
    weak : the best change with which a value pairs, but nothing that is made of it.
    """

    def __init__(self, sides: tuple[Side, Side], parted: Nodes) -> None:
        self.sides, self.parted = sides, parted
        self.weak: Found | None = None
        ops = (side.nodes[n].op for side, nodes in zip(sides, parted, strict=True) for n in nodes)
        #: Whether no activation is an op, so that those in several steps are named first.
        self._in_steps = not any(isinstance(op, ELEMENTWISE) for op in ops)

    def found(self) -> Found | None:
        """The likeliest change; None if none fits."""
        best: Found | None = None
        for where in ("gates", "at", "steps", "after", "before", "data"):
            found = self._best(where)
            # one change with which all pairs is likelier than one that is sure of its own value
            limit = 0 if best and best.edit.sure else best.lost if best else math.inf
            if found and found.lost < limit:
                best = found
            if best is None:
                continue
            # heads in another order may pair a value that another argument makes as well
            told = best.edit.sure and where != "gates"
            told |= best.edit.plain and where in ("at", "steps")
            if best.lost < 0 or (told and not best.edit.vague):
                break
        if best is None or (best.lost >= 0 and not best.edit.plain):
            best = self._first_of_two(best) or best
        if self.weak and (best is None or 0 <= self.weak.lost < best.lost):
            best = self.weak
        for where in ("unused", "two", "far"):
            if best is None or best.edit.vague:
                best = self._best(where) or best
        for where in ("deep", "deeper"):
            if best is None or best.edit.vague or self._moves(best):
                with self.sides[0].effort.part(DEEP):
                    best = self._best(where) or best
        return best

    def _moves(self, found: Found) -> bool:
        """Whether a change only takes other parts of a value, and leaves others without partner."""
        op = self.sides[found.which].nodes[found.node].op
        return found.lost >= 0 and isinstance(op, Movement | Split | Unstack)

    def _first_of_two(self, best: Found | None) -> Found | None:
        """A change after which a second one, at the node where they part then, is plain.

        Of two differences one after the other, such as a bias left out before another activation,
        the first alone lets nothing pair that did not pair before.
        """
        least = best.lost if best else lost_in(*self.sides)
        found: Found | None = None
        for which, nodes in enumerate(self.parted):
            side, other = self.sides[which], self.sides[1 - which]
            for node in nodes[:FEW]:
                for edit in islice(Fitting(side, other).at(side.nodes[node]), FEW_CAUSES):
                    made = side.changed([node], edit, other)
                    if made is None:
                        continue
                    sides = (made, other) if which == 0 else (other, made)
                    then = Search(sides, parted_of(sides))._best("at")
                    if then and then.edit.plain and then.lost < least:
                        found, least = Found(which, node, edit, made, then.lost), then.lost
                    if least < 0:
                        return found
        return found

    def _best(self, where: str) -> Found | None:
        """The change with which the most values pair: at the nodes, after or before them."""
        least = lost_in(*self.sides)
        best: Found | None = None
        for which, nodes in enumerate(self.parted):
            side, other = self.sides[which], self.sides[1 - which]
            for some, change in self._tried(side, other, nodes, where):
                for nodes_with_it, edit in _places(side, some, change):
                    made = side.changed(nodes_with_it, edit, other)
                    constant = -1 if made is None else side.constants(made, other)
                    if made is None or constant < 0:
                        continue
                    rest = parting(made, other) or parting(other, made) or edit.vague
                    lost = lost_in(made, other) + constant if rest else -1
                    if rest and not edit.plain:
                        lost += side.copies(made, other)
                    if edit.plain and rest and made.gives_back(some[0], edit):
                        edit = replace(edit, plain=False)
                        lost += side.copies(made, other)
                    found = Found(which, some[0], edit, made, lost)
                    if rest and lost < least and not side.heals(made, other, nodes_with_it):
                        # Another part of what both have is no cause.
                        moves = isinstance(side.nodes[some[0]].op, Movement)
                        limit = self.weak.lost if self.weak else least
                        if edit.plain and not moves and lost < limit:
                            self.weak = found
                        continue
                    if lost < least or (lost < 0 and edit.times == 1.0):
                        best, least = found, lost
                    if lost < 0 and edit.times == 1.0:  # a factor may be an op left out there
                        return best
        return best

    def _tried(
        self, side: Side, other: Side, nodes: list[str], where: str
    ) -> Iterator[tuple[list[str], Edit]]:
        """(nodes, change) that may be a cause; where that fails, the answer goes on without."""
        try:
            yield from self._changes(side, other, nodes, where)
        except FAILED as error:
            side.effort.failed = f"{type(error).__name__}: {error}"

    def _changes(
        self, side: Side, other: Side, nodes: list[str], where: str
    ) -> Iterator[tuple[list[str], Edit]]:
        """(nodes, change) that may be a cause, the first few of each node."""
        fitting = Fitting(side, other)
        if where == "after":  # a value before it would pair again if this one did
            later = (
                after(nodes, side, other)[:LATER],
                without_partner(side, other)[:LATER],
                healed_before(nodes, side, other, EARLIER)[:FEW_EARLIER],
            )
            nodes = [node for node in dict.fromkeys(chain(*later)) if node not in nodes]
        if where in ("far", "deep", "deeper"):
            nodes = without_partner(side, other)
            if where != "far":
                nodes = first_of_repeated(side, nodes)
            nodes = nodes[:FAR]
        before = preparations_of(nodes, side, other)[:PREPARED] if where in ("at", "data") else []
        if where == "data":
            nodes = [*before, *(n for n in nodes if side.is_preparation(side.nodes[n]))]
        nodes = [*before, *nodes] if where == "at" else nodes
        if where == "unused":
            yield from unused_parameters(side, other)
            return
        for node in nodes[:FIRST] if where in ("before", "two") else nodes:
            call = side.nodes[node]
            if where == "gates":
                yield from other_tables(side, call, other)
                yield from turned(side, call)
                yield from islice(Orders(side).of(call, other), TRIED)
                yield from islice(swapped(side, call, other), TRIED)
                if self._in_steps:
                    yield from islice(other_activations(side, call, other), TRIED)
                yield from islice(other_joins(side, call, other), TRIED)
                yield from islice(other_parts(side, call, other), TRIED)
                yield from islice(other_rolls(side, call, other), TRIED)
                yield from islice(other_limits(side, call, other), TRIED)
                yield from islice(other_roots(side, call, other), TRIED)
                yield from islice(other_rotations(side, call, other), TRIED)
            elif where == "steps":
                yield from islice(other_activations(side, call, other), TRIED)
            elif where == "before":
                yield from (([at], edit) for at, edit in islice(fitting.before(call), TRIED))
            else:
                by_place: dict[str, Callable[[Call], Iterator[Edit]]] = {
                    "two": fitting.two,
                    "far": fitting.far,
                    "deep": partial(fitting.deep, plain=True),
                    "deeper": partial(fitting.deep, plain=False),
                }
                fits = by_place.get(where, fitting.at)
                # What is done to data is changed by an argument first.
                plain = where != "data" and side.is_preparation(call)
                tried = islice(fits(call), TRIED)
                yield from (([node], edit) for edit in tried if edit.plain or not plain)


def _places(side: Side, some: list[str], edit: Edit) -> Iterator[tuple[list[str], Edit]]:
    """(nodes, change): the nodes given, all that repeat one, and all with the same number."""
    each = [some]
    if len(some) == 1 and general(edit):
        each += repeats(side, some[0])
    for nodes in (nodes for i, nodes in enumerate(each) if nodes not in each[:i]):
        yield nodes, replace(edit, said=at_others(edit.said, len(nodes) - len(some)))
    if len(some) == 1 and (same := everywhere(side, some[0], edit)) is not None:
        yield [*same.each], same
