"""Groups of nodes that are drawn as one box, so that large networks stay readable."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from ..graph import Graph

__all__ = ["DIV", "SHOWN", "Group", "groups"]

#: Maximum number of boxes in a picture, and of nodes that keep a box of their own.
SHOWN, ALONE = 40, 15
DIV = "Div"


@dataclass(frozen=True)
class Group:
    """Nodes drawn as one box.

    Attributes
    ----------
    name : unique; the name of the node, or of the first and the last node.
    nodes : names of the nodes, in topological order.
    inputs : names of the groups whose values its nodes take.
    """

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]


def groups(graph: Graph, alone: Collection[str] = (), shown: int = SHOWN) -> list[Group]:
    """Group the nodes of a network, inputs and Div into about `shown` groups.

    Neighbours in topological order whose names belong together ("block3_z1" and "block3_y1", or z7
    and y7) are joined first, then neighbouring groups.  No group takes values from a later one.

    Parameters
    ----------
    alone : nodes that keep a box of their own, such as those without parity; of many, the first.

    >>> from gradparity.comparisons.report.graph import graph_of
    >>> from gradparity.core import *
    >>> deep = graph_of(Case.random(layered([Affine(3, 3), Tanh()] * 100, L2()), batch=2))
    >>> [group.name for group in groups(deep, ["y50"], shown=7)]
    ['x', 'z1 ... y25', 'z26 ... z50', 'y50', 'z51 ... y75', 'z76 ... y100', 'Div']
    """
    names = [node.name for node in graph.nodes]
    kept = {*graph.inputs, DIV, *[name for name in names if name in alone][:ALONE]}
    every = [*graph.inputs, *names, *([DIV] if graph.divergence else [])]
    runs = [[name] for name in every]
    if len(runs) > shown:
        joined = groupby(every, lambda name: (name in kept, name if name in kept else _stem(name)))
        runs = [list(run) for _, run in joined]
    if len(runs) > shown:
        runs = _merged(runs, kept, shown)
    return _connected(graph, runs)


def _stem(name: str) -> str:
    """The part of a name that related nodes share: "block3" of block3_z1, "7" of z7."""
    prefix, found, _ = name.rpartition("_")
    number = re.search(r"\d+$", name)
    return prefix if found else number.group() if number else name


def _merged(runs: list[list[str]], alone: Collection[str], shown: int) -> list[list[str]]:
    """Merge neighbouring groups, as evenly as the nodes that stay alone allow."""
    stretches = [(single, list(found)) for single, found in groupby(runs, lambda r: r[0] in alone)]
    many = sum(len(found) for single, found in stretches if not single)
    room = max(1, shown - sum(len(found) for single, found in stretches if single))
    merged = []
    for single, found in stretches:
        size = 1 if single else -(-len(found) // max(1, len(found) * room // many))
        for i in range(0, len(found), size):
            merged.append([name for run in found[i : i + size] for name in run])
    return merged


def _connected(graph: Graph, runs: list[list[str]]) -> list[Group]:
    """Add to each run of nodes the groups whose values it takes."""
    name = {n: run[0] if len(run) == 1 else f"{run[0]} ... {run[-1]}" for run in runs for n in run}
    takes = {node.name: node.inputs for node in graph.nodes} | {DIV: (graph.output,)}
    takes |= dict.fromkeys(graph.inputs, ())
    found = []
    for run in runs:
        own = name[run[0]]
        inputs = dict.fromkeys(name[i] for n in run for i in takes[n])
        found.append(Group(own, tuple(run), tuple(i for i in inputs if i != own)))
    return found
