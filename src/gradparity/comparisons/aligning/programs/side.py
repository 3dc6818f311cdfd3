"""One of two programs that are compared, with the changes made to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from .edits import Edit, changes_a_number, computed, values_of
from .effort import Effort
from .partners import Known, Partners
from .pool import Pool
from .replay import replayed
from .values import Program, are_near

__all__ = ["Side"]

#: The fewest elements that pair by chance with no other number.
SEVERAL = 8


class Side:
    """A program with the changes made to it so far, and what each value is then.

    Attributes
    ----------
    program : as it was recorded.
    edits : by node.
    value : name -> numbers, with these changes.
    near : how near two values are that are the same.
    effort : what may still be computed.
    opened : whether values inside of ops are partners too; only where the programs part, as they
        cost time.
    """

    def __init__(
        self, program: Program, near: float, known: Known, effort: Effort, opened: bool = False
    ) -> None:
        self.program, self.near, self.known, self.effort = program, near, known, effort
        self.opened = opened
        self.edits: dict[str, Edit] = {}
        self.value: Mapping[str, NDArray] = program.value
        self.nodes = program.nodes
        self.makers = {name: call for call in program.calls for name in call.names}
        self._made_from: Side | None = None
        self._found: WeakKeyDictionary[Side, dict[str, str | None]] = WeakKeyDictionary()
        self._lost: WeakKeyDictionary[Side, dict[str, Call]] = WeakKeyDictionary()
        self._healed: WeakKeyDictionary[Side, set[str]] = WeakKeyDictionary()

    def open(self) -> Side:
        """The same with the values inside of ops."""
        return Side(self.program, self.near, self.known, self.effort, opened=True)

    def near_recorded(self, other: Side) -> float:
        """The tolerance for equal recorded numbers, such as gradients."""
        return max(self.program.near, other.program.near, self.near)

    def changed(self, nodes: Sequence[str], edit: Edit, other: Side) -> Side | None:
        """The program with one more change, at nodes.

        None if something has no value then, a loss is not one number any more, or it is NaN or
        infinite and the losses of the other program are not.
        """
        made = Side(self.program, self.near, self.known, self.effort, self.opened)
        made.edits = {**self.edits, **{node: edit.each.get(node, edit) for node in nodes}}
        value = replayed(self.program, made.edits, self.effort)
        if value is None or any(value[name].size != 1 for name in self.program.losses):
            return None
        if not _are_finite(value, self.program) and _are_finite(other.value, other.program):
            return None
        made.value, made._made_from = value, self
        return made

    def constants(self, made: Side, other: Side) -> int:
        """Count the values that pair only because a change makes them constant.

        -1 if no others do: a constant pairs with any other constant.
        """
        new = self.lost(other).keys() - made.lost(other).keys()
        constant = [n for n in new if _is_constant(made.value[n])]
        return -1 if constant and len(constant) == len(new) else len(constant)

    def gives_back(self, node: str, edit: Edit) -> bool:
        """Whether a changed node gives one of its own inputs, as if it were left out.

        Or what its op computes on the way, such as before its bias.
        """
        call = self.nodes[node]
        z, before = self.value.get(call.names[0]), self._made_from
        if z is None or isinstance(edit.op, Movement) or isinstance(call.op, Movement):
            return False
        taken = [a for a in values_of(call, self.value) if a.dtype.kind == "f"]
        if before is not None:
            taken += before.pool.inside(call).values()
        return any(are_near(a, z, self.near) for a in taken)

    def copies(self, made: Side, other: Side) -> int:
        """Count the values that pair only because a change makes them equal to others.

        A node left out gives back an input, whose partner says nothing about the change.
        """
        new = self.lost(other).keys() - made.lost(other).keys()
        return sum(self.partners.has(made.value[name]) for name in new)

    @cached_property
    def pool(self) -> Pool:
        """The values that those of another program may pair with."""
        before = self._made_from.pool if self._made_from else None
        ops = {node: edit.op for node, edit in self.edits.items()}
        return Pool(
            self.program, self.value, ops, before, self.near, self.known, opened=self.opened
        )

    @property
    def partners(self) -> Partners:
        """The values of this program, to find those of the other among them."""
        return self.pool.partners

    def lost(self, other: Side) -> dict[str, Call]:
        """The values without a partner in the other program, with the calls that gave them."""
        if other not in self._lost:
            makers = {n: call for call in self.program.calls for n in self.program.gives(call)}
            found = self._partners_of(makers, other)
            for names, joined in self.pool.joins.items():
                left = [name for name in names if found.get(name, "") is None]
                if left and (partner := other.partners.first(joined)):
                    found.update(dict.fromkeys(left, partner))
            self._found[other] = found
            self._lost[other] = {n: call for n, call in makers.items() if found[n] is None}
        return self._lost[other]

    def _partners_of(self, names: Iterable[str], other: Side) -> dict[str, str | None]:
        """The first partner of each value; what a change left as it was is not looked for again."""
        before, earlier = self._made_from, other._made_from
        found: dict[str, str | None] = {}
        asked: dict[Partners, dict[str, NDArray]] = {}
        earlier_found = self._found.get(earlier, {}) if earlier is not None else {}
        for name in names:
            z = self.value[name]
            known = earlier_found.get(name, "")
            if name in self.program.losses:
                found[name] = self._end_of(name, z, other)
            elif before is not None and other in before._found and before.value[name] is z:
                found[name] = before._found[other][name]
            elif earlier is None or known == "":
                asked.setdefault(other.partners, {})[name] = z
            elif known is None:
                asked.setdefault(other.pool.changed, {})[name] = z
            elif other.pool.all.get(known) is earlier.pool.all[known]:
                found[name] = known
            else:
                asked.setdefault(other.partners, {})[name] = z
        for pool, arrays in asked.items():
            found.update(pool.firsts(arrays))
        return found

    def _end_of(self, name: str, z: NDArray, other: Side) -> str | None:
        """The partner of a loss."""
        if not self.ends_alike(name, z, other):
            return None
        return name if self._sums_pair(name, other) else other.partners.first(z)

    def loss_pairs(
        self, call: Call, edit: Edit, other: Side, nodes: Sequence[str] | None = None
    ) -> bool:
        """Whether the losses are those of the other program with a change of a call or nodes."""
        made = self.changed(nodes or [call.place.node], edit, other)
        losses = self.program.losses
        there = Partners({n: other.value[n] for n in other.program.losses}, self.near)
        return made is not None and bool(losses) and all(there.has(made.value[n]) for n in losses)

    def ends_alike(self, name: str, z: NDArray, other: Side) -> bool:
        """Whether a loss is one of the other program, or its losses have the same sum.

        A value on the way to a loss is none.  Other values than losses are not asked.
        """
        there = {n: other.value[n] for n in other.program.losses}
        told = name in self.program.losses and there
        if not told or Partners(there, self.near).has(z):
            return True
        return self._sums_pair(name, other)

    def _sums_pair(self, name: str, other: Side) -> bool:
        """Whether the losses of both, of which this is one, have the same sum.

        The passes of a step with several add their gradients.
        """
        each = self.program.losses, other.program.losses
        if name not in each[0] or not each[1] or len(each[0]) == len(each[1]):
            return False
        here, there = (
            sum(float(side.value[n].reshape(())) for n in names)
            for side, names in zip((self, other), each, strict=True)
        )
        return abs(here - there) <= self.near * max(abs(here), abs(there))

    def healed(self, other: Side) -> set[str]:
        """The values whose later values all have a partner in the end, or that are not used."""
        if other not in self._healed:
            lost, healed = self.lost(other), set[str]()
            for call in reversed(self.program.calls):
                for name in self.program.gives(call):
                    users = [*self.program.uses(name)]
                    after = [g for user in users for g in self.program.gives(user)]
                    ends = not users and name not in self.program.losses
                    if ends or (after and all(g not in lost or g in healed for g in after)):
                        healed.add(name)
            self._healed[other] = healed
        return self._healed[other]

    def first(self, edit: Edit, y: Sequence[NDArray]) -> NDArray | None:
        """The first result of a change; None where it has none for these numbers."""
        z = self.results(edit, y)
        return z[0] if z else None

    def results(self, edit: Edit, y: Sequence[NDArray]) -> tuple[NDArray, ...]:
        """The results of a change; none where it has no first one for these numbers.

        Nor where no more may be computed.
        """
        if self.effort.is_spent:
            return ()
        z = computed(edit, y, self.value)
        self.effort.spend(edit.op, y, z)
        return z if z and np.isfinite(z[0]).any() else ()

    def made_of(
        self,
        changed: Mapping[str, NDArray],
        between: Sequence[Call],
        last: Call,
        every: bool = False,
    ) -> NDArray | None:
        """The first value of a call, where earlier ones have other values.

        Of a node between with several results only the first goes on, or all if `every`.
        """
        value = dict(changed)
        for c in between:
            if set(c.names) & value.keys() or not any(o.name in value for o in c.inputs):
                continue
            z = self.results(Edit("", c.op), values_of(c, {**self.value, **value}))
            if not z:
                return None
            names = c.names if every else c.names[:1]
            value.update((n, a) for n, a in zip(names, z, strict=False) if n)
        return value.get(last.names[0])

    def pairs(self, name: str, z: NDArray, other: Side, through: int = 0) -> bool:
        """Whether a value has a partner, or what is made of it.

        Movements are passed, and so many other ops.
        """
        told = z.size > 1 or name in self.program.losses
        if told and self._pairs_as(name, z, other):
            return True
        for node in self.program.users.get(name, ()):
            user = self.nodes[node]
            own = values_of(user, self.value)
            y = tuple(z if o.name == name else a for o, a in zip(user.inputs, own, strict=True))
            made = self.first(Edit("", user.op), y)
            if made is None or (made.size < 2 and user.names[0] not in self.program.losses):
                continue
            moves = isinstance(user.op, Movement)
            if not moves and self._pairs_as(user.names[0], made, other):
                return True
            more = through if moves else through - 1
            if more >= 0 and self.pairs(user.names[0], made, other, more):
                return True
        return False

    def _pairs_as(self, name: str, z: NDArray, other: Side) -> bool:
        """Whether a value has a partner with these numbers, a loss among the losses."""
        return other.partners.has(z) and self.ends_alike(name, z, other)

    def heals(self, made: Side, other: Side, nodes: Sequence[str]) -> bool:
        """Whether a change at nodes lets something pair that is made of these too, if it can.

        Another number of an op says enough by the value of the op alone.  Not that of a movement:
        another part of what both programs have is a value of both, too.
        """
        first = self.nodes[nodes[0]]
        if made.edits[nodes[0]].sure:
            return True
        moves = isinstance(first.op, Movement) or _size_of(first) < SEVERAL
        if not moves and changes_a_number(made.edits[nodes[0]], first.op):
            return True
        reached: set[str] = {g for node in nodes for g in self.nodes[node].names}
        after: dict[str, None] = {}
        for call in self.program.calls:
            if call.place.node not in nodes and any(o.name in reached for o in call.inputs):
                reached |= set(call.names)
                if not isinstance(call.op, Movement):
                    after.update(dict.fromkeys(call.names))
        before, left = self.lost(other), made.lost(other)
        waiting = [name for name in after if name in before]
        return not waiting or any(name not in left for name in waiting)

    def is_preparation(self, call: Call) -> bool:
        """Whether it runs on what has no gradient, such as on data."""
        return call.place.node in self.program.preparations

    def is_layout(self, call: Call) -> bool:
        """Whether it only rearranges parameters, which the other program may hold in any layout."""
        return all(name in self.program.layouts for name in call.names)


def _size_of(call: Call) -> int:
    """The number of elements of the largest result of a call."""
    return max((z.size for z in call.z if z is not None), default=0)


def _are_finite(value: Mapping[str, NDArray], program: Program) -> bool:
    """Whether all losses of a program are finite with these values."""
    return all(np.isfinite(value[name]).all() for name in program.losses)


def _is_constant(a: NDArray) -> bool:
    """Whether all elements of an array of several are the same."""
    return a.size > 1 and bool((a == a.flat[0]).all())
