"""Large networks stay readable: nodes that say the same are drawn as one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from ..graph import Graph

__all__ = ["DIV", "SHOWN", "Group", "groups"]

#: Boxes in a picture; and of these, at most so many for nodes that stand for themselves.
SHOWN, ALONE = 40, 15
DIV = "Div"


@dataclass(frozen=True)
class Group:
    """Nodes that are drawn as one.

    Attributes
    ----------
    name : unique; that of the node, or of the first and the last.
    nodes : their names, in topological order.
    inputs : names of the groups that its nodes take values from.
    """

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]


def groups(graph: Graph, telling: Collection[str] = (), shown: int = SHOWN) -> list[Group]:
    """The nodes of a network, with inputs and Div, as about `shown` groups in topological order.

    Neighbours in the topological order whose names say that they belong together ("block3_z1" and
    "block3_y1", or z7 and y7) are joined first, then neighbouring groups.  Groups of neighbours
    depend on each other in that order only, so no group takes values from a later one.

    Parameters
    ----------
    telling : nodes that stand for themselves, such as those without parity; the first of them, if
        they are many.

    >>> from gradparity.comparisons.report.graph import graph_of
    >>> from gradparity.core import *
    >>> deep = graph_of(Case.random(layered([Affine(3, 3), Tanh()] * 100, L2()), batch=2))
    >>> [group.name for group in groups(deep, ["y50"], shown=7)]
    ['x', 'z1 ... y25', 'z26 ... z50', 'y50', 'z51 ... y75', 'z76 ... y100', 'Div']
    """
    names = [node.name for node in graph.nodes]
    alone = {*graph.inputs, DIV, *[name for name in names if name in telling][:ALONE]}
    every = [*graph.inputs, *names, *([DIV] if graph.divergence else [])]
    runs = [[name] for name in every]
    if len(runs) > shown:
        runs = _joined(every, alone)
    if len(runs) > shown:
        runs = _merged(runs, alone, shown)
    return _connected(graph, runs)


def _joined(names: list[str], alone: Collection[str]) -> list[list[str]]:
    """Neighbours whose names say that they belong together."""

    def key(name: str) -> tuple[str, str]:
        return (name, "") if name in alone else ("", _belongs(name))

    return [list(run) for _, run in groupby(names, key)]


def _belongs(name: str) -> str:
    """The group in the name of a node: "block3" for block3_z1, "7" for z7."""
    prefix, found, _ = name.rpartition("_")
    number = re.search(r"\d+$", name)
    return prefix if found else number.group() if number else name


def _merged(runs: list[list[str]], alone: Collection[str], shown: int) -> list[list[str]]:
    """Neighbouring groups made one, as evenly as those that stand alone allow."""
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
    """With what each takes its values from."""
    name = {n: run[0] if len(run) == 1 else f"{run[0]} ... {run[-1]}" for run in runs for n in run}
    takes = {node.name: node.inputs for node in graph.nodes} | {DIV: (graph.output,)}
    takes |= dict.fromkeys(graph.inputs, ())
    found = []
    for run in runs:
        own = name[run[0]]
        inputs = dict.fromkeys(name[i] for n in run for i in takes[n])
        found.append(Group(own, tuple(run), tuple(i for i in inputs if i != own)))
    return found
