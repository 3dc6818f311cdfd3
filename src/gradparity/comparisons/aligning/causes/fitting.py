"""The changes of one node of a program that fit: with them more of it pairs with the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Reshape
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ..programs.edits import Edit, general, values_of
from ..programs.partners import sorted_elements
from ..programs.repeats import repeats
from ..programs.roles import is_written
from ..programs.side import Side
from ..programs.values import are_near
from .changes import changes, two_at_once
from .insertions import insertions
from .rows import other_rows
from .terms import other_terms

__all__ = ["Fitting"]

#: The most factors that a value may have in the other program that are tried.
FACTORS = 40
#: The most elements of a value whose other sign is tried on the loss.
FEW_FOR_SIGN = 200_000
#: What is smaller than this in relation to a value is nothing of it.
TINY = 1e-3
#: How many nodes before one without a partner are looked at.
EARLIER = 6


class Fitting:
    """Changes of the nodes of one program with which values have partners in another.

    Attributes
    ----------
    side, other : the program whose nodes are changed, and the other one.
    """

    def __init__(self, side: Side, other: Side) -> None:
        self.side, self.other = side, other

    def at(self, call: Call) -> Iterator[Edit]:
        """The changes of a node with which its value, or one made of it, has a partner."""
        side, other = self.side, self.other
        y, name = values_of(call, side.value), call.names[0]
        with np.errstate(all="ignore"):
            for edit in self._changes(call):
                z = side.first(edit, y)
                if z is None or self._vanishes(edit, call, z):
                    continue
                # a layer's product may be split in steps before anything of it has a partner
                through = 1 if edit.everywhere else 0
                far = edit.far or (z.size < 2 and name not in side.program.losses)
                pairs = side.pairs(name, z, other, through)
                if pairs or (far and self._loss_pairs(call, edit)):
                    yield self._plainly(edit, call, y, z)
            yield from self._factors(call, y)
            yield from self._terms(call, y)
            for edit in insertions(call, y, side, other):
                z = side.first(edit, y)
                if z is not None and side.pairs(name, z, other):
                    yield edit

    def _vanishes(self, edit: Edit, call: Call, z: NDArray) -> bool:
        """Whether a change that may fit by chance makes nothing of a value, as without it."""
        own = self.side.value.get(call.names[0])
        if edit.plain or own is None:
            return False
        largest, before = (np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (z, own))
        return bool(largest < TINY * before)

    def _loss_pairs(self, call: Call, edit: Edit) -> bool:
        """Whether the losses pair with a change of a node, or of all that repeat it."""
        if self.side.loss_pairs(call, edit, self.other):
            return True
        each = repeats(self.side, call.place.node) if general(edit) else ()
        return any(
            len(nodes) > 1 and self.side.loss_pairs(call, edit, self.other, nodes) for nodes in each
        )

    def two(self, call: Call) -> Iterator[Edit]:
        """The first two changes at once of a node with which its value has a partner."""
        y = values_of(call, self.side.value)
        with np.errstate(all="ignore"):
            for edit in two_at_once(call, y, self.other.program):
                z = self.side.first(edit, y)
                if z is not None and self.side.pairs(call.names[0], z, self.other):
                    yield edit
                    return

    def far(self, call: Call) -> Iterator[Edit]:
        """The value a number of times as large, where only the loss shows it."""
        y = values_of(call, self.side.value)
        z = self.side.first(Edit("", call.op), y)
        ratios = self._written(z) if z is not None and z.size == 1 else ()
        for times in dict.fromkeys((0.5, 2.0, *ratios)):
            said = f"its value is {times:.6g} times as large {{there}}"
            edit = Edit(said, call.op, times=times)
            if self.side.loss_pairs(call, edit, self.other):
                yield edit

    def deep(self, call: Call, plain: bool) -> Iterator[Edit]:
        """The changes of a node that only the loss shows, as all before it has no partner."""
        if not self.side.lost(self.other).keys() & set(self.side.program.losses):
            return
        with np.errstate(all="ignore"):
            for edit in self._changes(call):
                if edit.plain is plain and not edit.vague and self._loss_pairs(call, edit):
                    yield edit

    def before(self, call: Call) -> Iterator[tuple[str, Edit]]:
        """(node, change) of those before a node with which its value has a partner.

        What has a partner may still lie in another order than that one.
        """
        side = self.side
        near, seen = [call], {call.place.node}
        earlier: list[Call] = []
        while near and sum(not side.is_preparation(c) for c in earlier) < EARLIER:
            made = (side.makers[o.name] for c in near for o in c.inputs if o.name in side.makers)
            near = [c for c in dict.fromkeys(made) if c.place.node not in seen]
            seen |= {c.place.node for c in near}
            earlier += [c for c in near if not side.is_layout(c)]
        position = {c.place.node: i for i, c in enumerate(side.program.calls)}
        between = sorted([*earlier, call], key=lambda c: position[c.place.node])
        with np.errstate(all="ignore"):
            for c in earlier:
                y, name = values_of(c, side.value), c.names[0]
                for edit in self._changes(c):
                    z = side.first(edit, y)
                    if z is None or name not in side.value or z.shape != side.value[name].shape:
                        continue
                    made_of = side.made_of({name: z}, between, call)
                    if made_of is None:
                        continue
                    pairs = self.other.partners.of(made_of)
                    if pairs or side.pairs(call.names[0], made_of, self.other):
                        yield c.place.node, edit

    def _changes(self, call: Call) -> Iterator[Edit]:
        """All common changes of a node, whether they fit or not."""
        y, before = values_of(call, self.side.value), self._flattened(call)
        program, value = self.side.program, self.side.value
        return changes(call, y, program, value, self.other.program, before)

    def _terms(self, call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
        """Other rows of a table, and one more term or factor of the value."""
        z = self.side.first(Edit("", call.op), y)
        if z is None:
            return
        lost = [self.other.value[n] for n in self.other.lost(self.side)]
        more = other_terms(call, z, self.side.program, self.side.value, lost)
        name, side = call.names[0], self.side
        for edit in chain(other_rows(call, y, lost), more):
            made = side.first(edit, y)
            # rows that are the same for every sample may be taken once, and added to all
            through = 1 if edit.inputs else 0
            if made is not None and (
                self.other.partners.has(made) or side.pairs(name, made, self.other, through)
            ):
                yield edit

    def _plainly(self, edit: Edit, call: Call, y: Sequence[NDArray], z: NDArray) -> Edit:
        """The change; "left out" where another op or argument makes it give its input back."""
        own = self.side.value[call.names[0]]
        ones = [a.size > 1 and are_near(a, np.ones_like(a), self.side.near) for a in (z, own)]
        if ones == [True, False]:
            said = "it is 1 everywhere {there}, so that what it multiplies goes on alone: left out"
            return replace(edit, said=said, plain=False)
        same = (a for a in y if a.dtype.kind == "f" and are_near(a, z, self.side.near))
        argument = (type(edit.op) is type(call.op) or len(y) == 1) and edit.op != call.op
        moves = isinstance(call.op, Movement) or edit.inputs or edit.keeps is not None
        if not argument or moves or next(same, None) is None:
            return edit
        return replace(
            edit, said=f"{call.op.name}: left out {{there}}, or {edit.said}", plain=False
        )

    def _factors(self, call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
        """The value a number of times as large, such as a person writes."""
        side, other = self.side, self.other
        z = side.first(Edit("", call.op), y)
        if z is None:
            return
        sign = Edit("it has the other sign {there}", call.op, times=-1.0)
        if z.size <= FEW_FOR_SIGN and side.loss_pairs(call, sign, other):
            yield sign
        for times in self._written(z):
            copy = z.size > 1 and bool(side.partners.of(z * times))  # it is left out
            if not copy and side.pairs(call.names[0], z * times, other):
                said = f"its value is {times:.6g} times as large {{there}}"
                yield Edit(said, call.op, times=times)

    def _written(self, z: NDArray) -> list[float]:
        """The factors that a person would write."""
        roles = self.side.program.roles, self.other.program.roles
        numbers = {n for each in roles for n in each.get("factor", ())}
        return [t for t in self._ratios(z) if is_written(t, numbers, self.side.near)][:FACTORS]

    def _ratios(self, z: NDArray) -> list[float]:
        """Factors with which a value may be one of those without a partner in the other program."""
        own = sorted_elements(z)
        found: dict[float, None] = {}
        for name in self.other.lost(self.side):
            array = self.other.value[name]
            if array.size == z.size and np.abs(own).max(initial=0.0) > 0:
                there = sorted_elements(array)
                for times, turned in ((1.0, own), (-1.0, -own[::-1])):
                    i = int(np.abs(turned).argmax())
                    if turned[i]:
                        found[times * float(there[i] / turned[i])] = None
        return list(found)

    def _flattened(self, call: Call) -> NDArray | None:
        """The first input of a call before flattening; None if it was not flattened."""
        first = call.inputs[0] if call.inputs else None
        if first is not None and first.data in self.side.value:  # its shape is left out there
            prepared = self.side.value[first.data]
            return prepared if prepared.ndim > first.array.ndim else None
        nodes = {name: c for c in self.side.program.calls for name in c.names}
        made = nodes.get(call.inputs[0].source) if call.inputs else None
        while made is not None and isinstance(made.op, Reshape):
            o = made.inputs[0]
            array = self.side.value.get(o.source, o.array)
            if array.ndim > 2:
                return array
            made = nodes.get(o.source)
        return None
