"""The graph of a network that a report keeps: nodes and edges, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...core.network.case import Case
from ..findings.finding import as_written

__all__ = ["Graph", "GraphNode", "graph_of", "rewired"]


@dataclass(frozen=True)
class GraphNode:
    """A node.

    Attributes
    ----------
    name : name of the node.
    op : its op, as written.
    inputs : names of the inputs, shared parameters and nodes whose values it takes.
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
    divergence, output : Div, as written, and the name of the node it takes; "" without a loss.
    inputs : name -> shape, for inputs and parameters that nodes share.
    """

    nodes: tuple[GraphNode, ...]
    divergence: str
    output: str
    inputs: dict[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        known = set(self.inputs)
        taken = [(node.name, node.inputs) for node in self.nodes]
        taken += [("Div", (self.output,))] if self.divergence else []
        for name, inputs in taken:
            for unknown in set(inputs) - known:
                raise ValueError(
                    f"{name} takes {unknown!r}, which is neither an input nor an earlier node"
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
    maker = {value: step.name for step in network.body for value in step.values}
    own = {name for step in network.body for name in (*step.own.values(), step.draw)}
    nodes = tuple(
        GraphNode(
            step.name,
            as_written(step.op),
            tuple(dict.fromkeys(maker.get(n, n) for n in step.inputs if n not in own)),
            {name: network.parameter_shapes[name] for name in step.own.values()},
        )
        for step in network.body
    )
    inputs = {name: a.shape for name, a in case.inputs.items()} | network.parameters
    if network.divergence is None:
        return Graph(nodes, "", "", inputs)
    return Graph(nodes, as_written(network.divergence), maker[network.output], inputs)


def rewired(old: Graph, new: Graph) -> Iterator[str]:
    """Describe each change of a network: its nodes, its loss, its inputs.

    >>> from gradparity.core import *
    >>> nets = [layered([Affine(3, 2), act], L2()) for act in (Tanh(), Sigmoid())]
    >>> [*rewired(*(graph_of(Case.random(net)) for net in nets))]
    ['y1: Tanh() -> Sigmoid()']
    """
    earlier, later = ({node.name: node for node in graph.nodes} for graph in (old, new))
    for name in dict.fromkeys([*earlier, *later]):
        a, b = earlier.get(name), later.get(name)
        if a is None or b is None:
            yield f"{name} was added" if a is None else f"{name} was removed"
        elif a.op != b.op:
            yield f"{name}: {a.op} -> {b.op}"
        elif a != b:
            yield f"{name}: other inputs or parameters"
    if {*earlier} == {*later} and [*earlier] != [*later]:
        yield f"the order {', '.join(earlier)} -> {', '.join(later)}"
    if (old.divergence, old.output) != (new.divergence, new.output):
        yield f"Div: {old.divergence} of {old.output} -> {new.divergence} of {new.output}"
    for name in dict.fromkeys([*old.inputs, *new.inputs]):
        before, after = old.inputs.get(name), new.inputs.get(name)
        if before != after:
            yield f"{name}: {before or 'absent'} -> {after or 'absent'}"
