"""Gates, heads and products that come in another order in the other program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.activations import Sigmoid
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.vocabulary.rearranging import Split
from ..programs.edits import Edit, values_of
from ..programs.repeats import on_its_line
from ..programs.side import Side
from .arrangements import arrangements
from .products import earlier_products

__all__ = ["Orders"]

#: How many nodes back from one without a partner the gates of a cell are looked for.
GATED = 7
#: How many nodes after one without a partner a product such as of a gate is looked for.
BEHIND = 4
#: How many nodes after one without a partner a value that its heads change is looked for.
THROUGH = 2
#: How many splits into gates, the nearest, are tried one by one; all are tried together as well.
ALONE = 4


class Orders:
    """Other orders near a node of a program, with which its value has a partner."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def of(self, call: Call, other: Side) -> Iterator[tuple[list[str], Edit]]:
        """(nodes, change) of gates or heads in another order, with which a value has a partner."""
        makers = {name: c for c in self.side.program.calls for name in c.names}
        earlier: list[Call] = []
        near = [call]
        for _ in range(GATED):
            before = (makers[o.source] for c in near for o in c.inputs if o.source in makers)
            near = [c for c in dict.fromkeys(before) if c not in earlier]
            earlier += near
            near = [c for c in near if not _splits(c)]
        position = {c.place.node: i for i, c in enumerate(self.side.program.calls)}
        between = sorted([*earlier, call], key=lambda c: position[c.place.node])
        yield from self._heads(call, between, other)
        yield from self._products(between, other)
        gates = self._unsure([c for c in earlier if _splits(c)], between, other)
        used = [self.side.nodes[u].op for c in gates for n in c.names for u in self._behind(n)]
        if not gates or not any(isinstance(op, Sigmoid) for op in used):
            return
        for some in [gates] if len(gates) == 1 else [[g] for g in gates[:ALONE]] + [gates]:
            n = len(some[0].names)
            if any(c.op != some[0].op for c in some):
                continue
            for order in permutations(range(n)):
                if order == tuple(range(n)):
                    continue
                said = f"its {n} parts, such as gates, are in the order {order} {{there}}"
                value = {
                    c.names[i]: self.side.value[c.names[order[i]]] for c in some for i in range(n)
                }
                made = self.side.made_of(value, between, call)
                if made is not None and other.partners.of(made):
                    nodes = [r for c in some for r in on_its_line(self.side, c.place.node)]
                    yield nodes, Edit(said, some[0].op, order=order)

    def _unsure(self, gates: list[Call], between: list[Call], other: Side) -> list[Call]:
        """The splits into gates of which no value shows that their order is right.

        Another order moves two parts at least, so a value made of all but one would differ.
        """
        lost, needed = self.side.lost(other), {c.place.node: len(c.names) - 1 for c in gates}
        made_of: dict[str, frozenset[tuple[str, int]]] = {}
        for c in between:
            before = frozenset().union(*(made_of.get(o.source, ()) for o in c.inputs))
            for i, name in enumerate(c.names):
                parts = before | ({(c.place.node, i)} if c.place.node in needed else set())
                if name in self.side.value and name not in lost:
                    count = Counter(node for node, _ in parts)
                    parts = frozenset(p for p in parts if count[p[0]] < needed[p[0]])
                made_of[name] = parts
        unsure = {node for name in between[-1].names for node, _ in made_of[name]}
        return [c for c in gates if c.place.node in unsure]

    def _heads(
        self, call: Call, between: list[Call], other: Side
    ) -> Iterator[tuple[list[str], Edit]]:
        """(nodes, change) of axes that are split or joined in another order, all at once or one."""
        tried: list[Op] = []
        for c in between:
            if c.op in tried or c.place.node in self.side.edits:
                continue
            tried.append(c.op)
            alike = [
                n for n, a in self.side.nodes.items()
                if a.op == c.op and n not in self.side.edits
                if a.inputs[0].array.shape == c.inputs[0].array.shape
            ]  # fmt: skip
            for said, op in arrangements(c.op, c.inputs[0].array.shape):
                edit = Edit(said, op)
                for nodes in [alike] if alike == [c.place.node] else [alike, [c.place.node]]:
                    made = self._made_with(edit, nodes, between, call)
                    name = between[-1].names[0]
                    if made is not None and self.side.pairs(name, made, other, THROUGH):
                        yield nodes, edit

    def _products(self, between: list[Call], other: Side) -> Iterator[tuple[list[str], Edit]]:
        """(nodes, change) of products that are taken before a linear op, such as of a gate."""
        behind = dict.fromkeys(u for n in between[-1].names for u in self._behind(n, BEHIND))
        for c in [*between, *(self.side.nodes[u] for u in behind)]:
            node = c.place.node
            alike = [self.side.nodes[n] for n in on_its_line(self.side, node)]
            for edit in (
                [] if node in self.side.edits else earlier_products(c, alike, self.side.program)
            ):
                z = self.side.first(edit.each[node], values_of(c, self.side.value))
                if z is not None and self.side.pairs(c.names[0], z, other):
                    yield list(edit.each), edit

    def _made_with(
        self, edit: Edit, nodes: list[str], between: list[Call], last: Call
    ) -> NDArray | None:
        """The first value of a call, with a change at some of the nodes before it."""
        value: dict[str, NDArray] = {}
        for c in between:
            if c.place.node in nodes:
                z = edit.forward(values_of(c, self.side.value), {})
                value.update(
                    (n, a) for n, a in zip(c.names, z, strict=False) if n in self.side.value
                )
        return self.side.made_of(value, between, last)

    def _behind(self, name: str, steps: int = 2) -> list[str]:
        """The nodes that take a value, and those that take what these give."""
        found: dict[str, None] = {}
        names = [name]
        for _ in range(steps):
            nodes = [u for n in names for u in self.side.program.users.get(n, ()) if u not in found]
            found.update(dict.fromkeys(nodes))
            names = [g for node in nodes for g in self.side.nodes[node].names]
        return list(found)


def _splits(call: Call) -> bool:
    """Whether it may give the gates of a recurrent cell."""
    return len(call.names) in (3, 4) and isinstance(call.op, Movement | Split)
