"""The values of one program that those of another may pair with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Op
from ....core.network.calls import Call
from .edits import FAILED, values_of
from .insides import insides
from .partners import Elements, Known, Partners
from .values import Program

__all__ = ["Pool"]


class Pool:
    """The values that a program has, some of them changed, and if it is opened their parts.

    What a change left as it was is not computed again.

    Parameters
    ----------
    program : as it was recorded.
    value : name -> numbers, with the changes made to it.
    ops : node -> its op, of those that were changed.
    before : the same before the last change.
    opened : whether values inside of ops, and several joined that one line gave, are among them.
    """

    def __init__(
        self,
        program: Program,
        value: Mapping[str, NDArray],
        ops: Mapping[str, Op],
        before: Pool | None,
        near: float,
        known: Known,
        opened: bool,
    ) -> None:
        self.program, self.value, self.ops, self.before = program, value, ops, before
        self.near, self.known, self.opened = near, known, opened

    @cached_property
    def partners(self) -> Partners:
        """All of them, to find those of the other program among them."""
        return Partners(self.all, self.near, self.known)

    @cached_property
    def changed(self) -> Partners:
        """The nodes whose values the last change has changed."""
        before = self.before.all if self.before else {}
        changed = {n: a for n, a in self.all.items() if a is not before.get(n)}
        return Partners(changed, self.near, self.known)

    @cached_property
    def all(self) -> Mapping[str, NDArray | Elements]:
        """Constants, parameters and inputs, values, and if it is opened what these are parts of."""
        constants = {
            f"constant of {call.place.node}": o.array
            for call in self.program.calls
            for o in call.inputs
            if not o.name and o.array.dtype.kind == "f" and o.array.size > 1
        }
        inside = {n: a for each in self._insides.values() for n, a in each.items()}
        joins = {f"{names[0]} to {names[-1]}": a for names, a in self.joins.items()}
        return {**constants, **self.program.leaves, **self.value, **inside, **joins}

    @cached_property
    def joins(self) -> dict[tuple[str, ...], Elements]:
        """The values that one line gave as one, as a program without the loop computes them."""
        found: dict[tuple[str, ...], Elements] = {}
        for names in self.program.groups if self.opened else ():
            if self.before is not None and self._are_kept(names):
                found[names] = self.before.joins[names]
            elif all(name in self.value for name in names):
                found[names] = Elements(*(self.known.of(self.value[name]) for name in names))
        return found

    @cached_property
    def _insides(self) -> dict[str, dict[str, NDArray]]:
        """node -> words -> the values inside of its op."""
        found: dict[str, dict[str, NDArray]] = {}
        for call in self.program.calls if self.opened else ():
            node = call.place.node
            names = [name for name in (*call.names, *(o.name for o in call.inputs)) if name]
            if self.before is not None and self._are_kept(names):
                found[node] = self.before._insides[node]
            else:
                found[node] = self.inside(call)
        return found

    def _are_kept(self, names: tuple[str, ...] | list[str]) -> bool:
        """Whether the last change left values as they were."""
        before = self.before.value if self.before else {}
        return all(self.value.get(name) is before.get(name) for name in names)

    def inside(self, call: Call) -> dict[str, NDArray]:
        """Words -> the values inside of the op of a call."""
        if call.names[0] not in self.value:
            return {}
        op = self.ops.get(call.place.node, call.op)
        try:
            each = [*insides(op, values_of(call, self.value), self.value[call.names[0]])]
        except FAILED:
            return {}
        named = {f"{said} of {call.place.node}": a for said, a in each}
        return {name: a for name, a in named.items() if a.dtype.kind == "f" and a.size > 1}
