"""What a report keeps of a network: its nodes and edges, as text."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.case import Case
from .finding import as_written

__all__ = ["Graph", "GraphNode", "graph_of"]


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
            step.inputs,
            {name: network.parameter_shapes[name] for name in step.parameters.values()},
        )
        for step in network.steps
    )
    instances, width = case.x.shape
    return Graph(nodes, as_written(network.divergence), network.output, instances, width)
