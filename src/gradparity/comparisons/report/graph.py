"""What a report keeps of a network: its nodes and edges, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...core.network.case import Case
from ...core.network.network import INPUT
from ..findings.finding import as_written

__all__ = ["Graph", "GraphNode", "graph_of", "rewired"]


@dataclass(frozen=True)
class GraphNode:
    """A node.

    Attributes
    ----------
    name : of the node, and of its value.
    op : as written.
    inputs : the names of the values it takes.
    parameters : name -> shape.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    parameters: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Graph:
    """A network without its numbers.

    Attributes
    ----------
    nodes : in topological order.
    divergence, output : Div, as written, and the name of the value it takes.
    instances, width : the shape (T, D) of the input x.
    """

    nodes: tuple[GraphNode, ...]
    divergence: str
    output: str
    instances: int
    width: int

    def __post_init__(self) -> None:
        known = {INPUT}
        for name, inputs in (*((n.name, n.inputs) for n in self.nodes), ("Div", (self.output,))):
            for unknown in set(inputs) - known:
                raise ValueError(
                    f"{name} takes {unknown!r}, which is neither x nor an earlier node"
                )
            if name in known:
                raise ValueError(f"two nodes have the name {name!r}; give each its own")
            known.add(name)


def graph_of(case: Case) -> Graph:
    """The network of a case.

    >>> from gradparity.core import *
    >>> graph = graph_of(Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4))
    >>> [(node.name, node.inputs, node.parameters) for node in graph.nodes]
    [('z1', ('x',), {'W1': (3, 2), 'b1': (2,)}), ('y1', ('z1',), {})]
    """
    network = case.network
    nodes = tuple(
        GraphNode(
            step.name,
            as_written(step.op),
            tuple(n for n in step.inputs if n not in step.parameters.values() and n != step.draw),
            {name: network.parameter_shapes[name] for name in step.parameters.values()},
        )
        for step in network.body
    )
    instances, *rest = case.inputs[network.inputs[0]].shape
    width = math.prod(rest)
    return Graph(nodes, as_written(network.divergence), network.output, instances, width)


def rewired(old: Graph, new: Graph) -> Iterator[str]:
    """How a network changed, in words: its nodes, its loss, the shape of x; nothing if it did not.

    >>> from gradparity.core import *
    >>> nets = [layered([Affine(3, 2), act], L2()) for act in (Tanh(), Sigmoid())]
    >>> [*rewired(*(graph_of(Case.random(net)) for net in nets))]
    ['y1: Tanh() -> Sigmoid()']
    """
    earlier, later = ({node.name: node for node in graph.nodes} for graph in (old, new))
    for name in dict.fromkeys([*earlier, *later]):
        a, b = earlier.get(name), later.get(name)
        if a is None or b is None:
            yield f"{name} was not there" if a is None else f"{name} is not there"
        elif a.op != b.op:
            yield f"{name}: {a.op} -> {b.op}"
        elif a != b:
            yield f"{name}: other inputs or parameters"
    if {*earlier} == {*later} and [*earlier] != [*later]:
        yield f"the order {', '.join(earlier)} -> {', '.join(later)}"
    if (old.divergence, old.output) != (new.divergence, new.output):
        yield f"Div: {old.divergence} of {old.output} -> {new.divergence} of {new.output}"
    if (old.instances, old.width) != (new.instances, new.width):
        yield f"x: {(old.instances, old.width)} -> {(new.instances, new.width)}"
