"""One of two programs that are compared, and where it parts from the other one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.movements import Reshape
from ...core.formulas.op import Movement
from ...core.network.calls import Call
from .causes import changes, numbers_in, two_at_once
from .edits import Edit, values_of
from .insertions import insertions
from .replay import FAILED, replayed
from .values import Partners, Program, Sorted, are_near, sorted_elements

__all__ = ["Side"]

#: The most factors that a value may have in the other program that are tried.
FACTORS = 40
#: The largest whole number that a loss may be larger by, such as a number of elements.
WHOLE = 100_000
#: How many nodes before one without a partner are looked at.
EARLIER = 6


class Side:
    """A program with the changes made to it so far, and what each value is then.

    Attributes
    ----------
    program : as it was recorded.
    edits : by node.
    value : name -> numbers, with these changes.
    near : how near two values are that are the same.
    """

    def __init__(self, program: Program, near: float, known: Sorted) -> None:
        self.program, self.near, self.known = program, near, known
        self.edits: dict[str, Edit] = {}
        self.value: Mapping[str, NDArray] = program.value
        self.nodes = {call.place.node: call for call in program.calls}
        self._partners: Partners | None = None
        self._lost: tuple[Side, dict[str, Call]] | None = None

    def near_recorded(self, other: Side) -> float:
        """How near two recorded numbers are that are the same, such as gradients."""
        return max(self.program.near, other.program.near)

    def changed(self, nodes: Sequence[str], edit: Edit) -> Side | None:
        """The program with one more change, at nodes.

        None if something has no value then, or a loss is not a number any more.
        """
        made = Side(self.program, self.near, self.known)
        made.edits = {**self.edits, **{node: edit.each.get(node, edit) for node in nodes}}
        value = replayed(self.program, made.edits)
        if value is None or any(value[name].size != 1 for name in self.program.losses):
            return None
        made.value = value
        return made

    def constants(self, made: Side, other: Side) -> int:
        """Count the values that pair only because a change makes them constant.

        -1 if no others do: a constant pairs with any other constant.
        """
        new = self.lost(other).keys() - made.lost(other).keys()
        constant = [n for n in new if _is_constant(made.value[n])]
        return -1 if constant and len(constant) == len(new) else len(constant)

    def copies(self, made: Side, other: Side) -> int:
        """Count the values that pair only because a change makes them equal to others.

        A node left out gives back an input, whose partner says nothing about the change.
        """
        new = self.lost(other).keys() - made.lost(other).keys()
        return sum(bool(self.partners.of(made.value[name])) for name in new)

    def repeated(self, node: str, alike: bool = False) -> list[str]:
        """The nodes that a line of the user's code made with the same op, such as in a loop.

        Only those with the same parameters if `alike`, such as of one of several layers.
        """
        place, op = self.nodes[node].place, self.nodes[node].op
        if not place.source or node in self.edits:
            return [node]
        return [
            name
            for name, call in self.nodes.items()
            if call.place.source == place.source and call.place.module == place.module
            if type(call.op) is type(op) and call.op == op and name not in self.edits
            if _base(name) == _base(node)
            if not alike or self._parameters(name) == self._parameters(node)
        ]

    def _parameters(self, node: str) -> list[str]:
        sources = [o.source for o in self.nodes[node].inputs]
        return [s for s in sources if s in self.program.layouts]

    @property
    def partners(self) -> Partners:
        """The values of this program, to find those of the other among them."""
        if self._partners is None:
            constants = {
                f"constant of {call.place.node}": o.array
                for call in self.program.calls
                for o in call.inputs
                if not o.source and o.array.dtype.kind == "f" and o.array.size > 1
            }
            each = {**constants, **self.program.leaves, **self.value}
            self._partners = Partners(each, self.near, self.known)
        return self._partners

    def lost(self, other: Side) -> dict[str, Call]:
        """The values without a partner in the other program, with the calls that gave them."""
        if self._lost is None or self._lost[0] is not other:
            found = {
                name: call
                for call in self.program.calls
                for name in self.program.gives(call)
                if not self._ends_alike(name, other) or not other.partners.of(self.value[name])
            }
            self._lost = other, found
        return self._lost[1]

    def two_causes(self, call: Call, other: Side) -> Iterator[Edit]:
        """The first two changes at once of a node with which its value has a partner."""
        y = values_of(call, self.value)
        with np.errstate(all="ignore"):
            for edit in two_at_once(call, y, other.program):
                z = self.first(edit, y)
                if z is not None and self.pairs(call.names[0], z, other):
                    yield edit
                    return

    def _loss_pairs(self, call: Call, edit: Edit, other: Side) -> bool:
        """Whether the losses are those of the other program with a change."""
        made, losses = self.changed([call.place.node], edit), self.program.losses
        there = Partners({n: other.value[n] for n in other.program.losses}, self.near)
        return made is not None and bool(losses) and all(there.of(made.value[n]) for n in losses)

    def _ends_alike(self, name: str, other: Side) -> bool:
        """Whether a loss is one of the other program: a value on the way to it is none."""
        there = {n: other.value[n] for n in other.program.losses}
        if name not in self.program.losses or not there:
            return True
        return bool(Partners(there, self.near).of(self.value[name]))

    def parted(self, other: Side) -> list[Call]:
        """The calls at which this program parts from the other one, the earliest first."""
        lost = self.lost(other)
        healed: dict[str, bool] = {}
        for call in reversed(self.program.calls):
            for name in self.program.gives(call):
                users = self.program.users.get(name, ())
                after = [g for u in users for g in self.program.gives(self.nodes[u])]
                ends = not users and name not in self.program.losses
                healed[name] = ends or (
                    bool(after) and all(g not in lost or healed.get(g, False) for g in after)
                )
        found: dict[str, Call] = {}
        for name, call in lost.items():
            before = [o.source for o in call.inputs if o.source]
            explained = any(
                b in lost and not healed[b] and not self.is_layout(lost[b]) for b in before
            )
            if not explained and not healed[name] and not self.is_layout(call):
                found.setdefault(call.place.node, call)
        return list(found.values())

    def causes(self, call: Call, other: Side) -> Iterator[Edit]:
        """The changes of a node with which its value, or one made of it, has a partner."""
        y = values_of(call, self.value)
        before = self._flattened(call)
        with np.errstate(all="ignore"):
            for edit in changes(call, y, self.program, self.value, other.program, before):
                z = self.first(edit, y)
                if z is None:
                    continue
                # a layer's product may be split in steps before anything of it has a partner
                through = 1 if edit.everywhere else 0
                pairs = self.pairs(call.names[0], z, other, through)
                if pairs or (edit.far and self._loss_pairs(call, edit, other)):
                    yield self._plainly(edit, call, y, z)
            yield from self._factors(call, y, other)
            for edit in insertions(call, y, self, other):
                z = self.first(edit, y)
                if z is not None and self.pairs(call.names[0], z, other):
                    yield edit

    def _plainly(self, edit: Edit, call: Call, y: tuple[NDArray, ...], z: NDArray) -> Edit:
        """The change; "left out" where another argument makes the node give its input back."""
        same = (a for a in y if a.dtype.kind == "f" and are_near(a, z, self.near))
        argument = type(edit.op) is type(call.op) and edit.op != call.op and not edit.inputs
        if not argument or isinstance(call.op, Movement) or next(same, None) is None:
            return edit
        return replace(
            edit, said=f"{call.op.name}: left out {{there}}, or {edit.said}", plain=False
        )

    def causes_before(self, call: Call, other: Side) -> Iterator[tuple[str, Edit]]:
        """(node, change) of those before a node with which its value has a partner.

        What has a partner may still lie in another order than that one.
        """
        makers = {name: c for c in self.program.calls for name in c.names}
        near, seen = [call], {call.place.node}
        earlier: list[Call] = []
        while near and len(earlier) < EARLIER:
            made = (makers[o.source] for c in near for o in c.inputs if o.source in makers)
            near = [c for c in dict.fromkeys(made) if c.place.node not in seen]
            seen |= {c.place.node for c in near}
            earlier += [c for c in near if not self.is_layout(c)]
        position = {c.place.node: i for i, c in enumerate(self.program.calls)}
        between = sorted([*earlier, call], key=lambda c: position[c.place.node])
        with np.errstate(all="ignore"):
            for c in earlier:
                y, before = values_of(c, self.value), self._flattened(c)
                tried = changes(c, y, self.program, self.value, other.program, before)
                for edit in tried:
                    z = self.first(edit, y)
                    if z is None or c.names[0] not in self.value:
                        continue
                    if z.shape != self.value[c.names[0]].shape:
                        continue
                    made_of = self._made_of(c, z, between, call)
                    if made_of is not None and other.partners.of(made_of):
                        yield c.place.node, edit

    def _made_of(
        self, changed: Call, z: NDArray, between: list[Call], last: Call
    ) -> NDArray | None:
        """The value of a call, where an earlier one has another value."""
        value = {changed.names[0]: z}
        for c in between:
            if c is not changed and any(o.source in value for o in c.inputs):
                y = values_of(c, {**self.value, **value})
                made = self.first(Edit("", c.op), y)
                if made is None:
                    return None
                value[c.names[0]] = made
        return value.get(last.names[0])

    def first(self, edit: Edit, y: tuple[NDArray, ...]) -> NDArray | None:
        """The first result of a change; None where it has none for these numbers."""
        try:
            z = edit.forward(y, self.value)[0]
        except FAILED:
            return None
        return z if np.isfinite(z).any() else None

    def pairs(self, name: str, z: NDArray, other: Side, through: int = 0) -> bool:
        """Whether a value has a partner, or what is made of it.

        Movements are passed, and so many other ops.
        """
        if (z.size > 1 or name in self.program.losses) and other.partners.of(z):
            return True
        for node in self.program.users.get(name, ()):
            user = self.nodes[node]
            own = values_of(user, self.value)
            y = tuple(z if o.source == name else a for o, a in zip(user.inputs, own, strict=True))
            made = self.first(Edit("", user.op), y)
            if made is None or (made.size < 2 and user.names[0] not in self.program.losses):
                continue
            moves = isinstance(user.op, Movement)
            if not moves and other.partners.of(made):
                return True
            more = through if moves else through - 1
            if more >= 0 and self.pairs(user.names[0], made, other, more):
                return True
        return False

    def far_factors(self, call: Call, other: Side) -> Iterator[Edit]:
        """The value half or twice as large, where only the loss shows it."""
        for times in (0.5, 2.0):
            said = f"its value is {times:.6g} times as large {{there}}"
            edit = Edit(said, call.op, times=times)
            if self._loss_pairs(call, edit, other):
                yield edit

    def _factors(self, call: Call, y: tuple[NDArray, ...], other: Side) -> Iterator[Edit]:
        """The value a number of times as large."""
        z = self.first(Edit("", call.op), y)
        if z is None:
            return
        own = sorted_elements(z)
        factors: dict[float, None] = {}
        lost = {n: other.value[n] for n in other.lost(self)}
        for array in lost.values():
            if array.size == z.size and np.abs(own).max(initial=0.0) > 0:
                there = sorted_elements(array)
                for sign, turned in ((1.0, own), (-1.0, -own[::-1])):
                    i = int(np.abs(turned).argmax())
                    if turned[i]:
                        factors[sign * float(there[i] / turned[i])] = None
        numbers = {*numbers_in(self.program), *numbers_in(other.program)}
        if z.size < 2:  # any two numbers have a ratio; only a plain one says something
            factors = {t: None for t in factors if _is_plain(t, numbers)}
        for times in list(factors)[:FACTORS]:
            if times and np.isfinite(times) and self.pairs(call.names[0], z * times, other):
                said = f"its value is {times:.6g} times as large {{there}}"
                rough = not _is_plain(times, numbers)
                yield Edit(said, call.op, times=times, rough=rough)

    def _flattened(self, call: Call) -> NDArray | None:
        """The first input of a call before flattening; None if it was not flattened."""
        nodes = {name: c for c in self.program.calls for name in c.names}
        made = nodes.get(call.inputs[0].source) if call.inputs else None
        while made is not None and isinstance(made.op, Reshape):
            o = made.inputs[0]
            array = self.value.get(o.source, o.array)
            if array.ndim > 2:
                return array
            made = nodes.get(o.source)
        return None

    def is_layout(self, call: Call) -> bool:
        """Whether it only rearranges parameters, which the other program may hold in any layout."""
        return all(name in self.program.layouts for name in call.names)


def _base(node: str) -> str:
    """The name of a node without its number and step."""
    return re.sub(r"_\d+(\.step[\d_]+)?$", r"", node) if ".step" not in node else node.split(".")[0]


def _is_constant(a: NDArray) -> bool:
    """Whether all elements of an array of several are the same."""
    return a.size > 1 and bool((a == a.flat[0]).all())


def _is_plain(times: float, numbers: set[float]) -> bool:
    """Whether a factor is a whole number, one through one, or a number of the programs."""
    for t in (times, 1.0 / times if times else 0.0):
        whole = abs(t) > 1.5 and abs(t) < WHOLE and abs(t - round(t)) < 1e-9 * abs(t)
        if whole or any(abs(t - n) <= 1e-9 * abs(n) for n in numbers):
            return True
    return False
