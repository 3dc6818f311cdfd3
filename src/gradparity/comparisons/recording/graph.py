"""A recorded program as a graph: its nodes in the order in which they ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.formulas.op import Shape
from ..report.graph import Graph, GraphNode

__all__ = ["graph_of_nodes", "in_order"]

#: The values that each node takes.
Taken = Mapping[str, tuple[str, ...]]


def graph_of_nodes(
    order: Sequence[str], taken: Taken, ops: Mapping[str, str], inputs: Mapping[str, Shape]
) -> Graph:
    """The graph of these nodes, with the op of each and the shapes of the inputs.

    >>> taken, ops = {"a": ("x",), "b": ("a", "x")}, {"a": "Exp()", "b": "Add()"}
    >>> graph_of_nodes(["a", "b"], taken, ops, {"x": (2,)}).nodes[1].inputs
    ('a', 'x')
    """
    makers = {**{name: name for name in inputs}, **{node: node for node in order}}
    nodes = []
    for node in order:
        sources = (s if s in inputs else s.partition(".")[0] for s in taken[node])
        made = tuple(dict.fromkeys(makers[s] for s in sources if s in makers))
        nodes.append(GraphNode(node, ops[node], made, {}))
    return Graph(tuple(nodes), "", "", dict(inputs))


def in_order(nodes: Sequence[str], taken: Taken) -> list[str]:
    """The nodes, each moved behind those whose values it takes.

    >>> in_order(["c", "a", "b"], {"c": ("b.0", "x"), "b": ("a",)})
    ['a', 'b', 'c']
    """
    known, done = set(nodes), dict[str, None]()
    for last in nodes:
        todo = [last]
        while todo:
            node = todo[-1]
            before = (s.partition(".")[0] for s in taken.get(node, ()))
            missing = [s for s in before if s in known and s not in done and s != node]
            if missing:
                todo += missing
            else:
                done.setdefault(todo.pop())
    return list(done)
