"""A recorded program as a tree of modules, each with the nodes that ran in it.

A module is folded unless something in it is wrong or undecided; then it is open down to the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...findings.finding import SILENT, STRUCTURE, SUM, Finding, Verdict
from ...findings.layout import grouped
from ..graph import Graph
from ..modules import module_of, nodes_of
from ..records import Run, share
from .cells import Cell, cell

__all__ = ["MOST", "ModuleTree", "ModuleView", "NodeRow", "Result", "tree"]

#: Maximum number of results whose nodes are listed; with more, nodes of right modules are counted.
MOST = 2000
#: Maximum number of nodes shown in open modules, of results listed in a cell, and of levels.
OPEN, LISTED, LEVELS = 200, 4, 12
#: Maximum number of characters of an op, and of a note.
OP, NOTE = 80, 200


@dataclass(frozen=True)
class Result:
    """Some results of a node; `name` and `note` are empty where they are right."""

    cell: Cell
    name: str = ""
    note: str = ""


@dataclass(frozen=True)
class NodeRow:
    """A node; `anchor` is empty where it is right, and `more` counts results left out."""

    name: str
    anchor: str
    op: str
    shapes: str
    source: str
    value: tuple[Result, ...]
    gradients: tuple[Result, ...]
    more: int


@dataclass(frozen=True)
class ModuleView:
    """A module with all that is inside of it.

    Attributes
    ----------
    name, outer : its path in two parts, without and with a dot at its end; `outer` is the path of
        the module around it.
    nodes, results, wrong, undecided : how many of each, inner modules included.
    worst : the cell of the worst verdict.
    part : the largest share of a bound in words.
    open : whether it is unfolded.
    bad, right : its own nodes that are listed.
    counted : how many of its own nodes are not listed.
    inner : the modules inside.
    """

    name: str
    outer: str
    nodes: int
    results: int
    wrong: int
    undecided: int
    worst: Cell
    part: str
    open: bool
    bad: tuple[NodeRow, ...]
    right: tuple[NodeRow, ...]
    counted: int
    inner: tuple[ModuleView, ...]


@dataclass(frozen=True)
class ModuleTree:
    """A recorded run; `places` has the anchor of each listed node that is not right."""

    run: Run
    modules: tuple[ModuleView, ...]
    places: dict[str, str]
    counted: int


@dataclass
class Branch:
    """A module while the tree is built: its own findings by node, and the modules inside."""

    path: tuple[str, ...] = ()
    own: dict[str, list[Finding]] = field(default_factory=dict)
    inner: dict[str, Branch] = field(default_factory=dict)

    def all(self) -> Iterator[Finding]:
        """Every finding, those of inner modules included."""
        for found in self.own.values():
            yield from found
        for branch in self.inner.values():
            yield from branch.all()


def tree(run: Run, graph: Graph | None, anchor: str) -> ModuleTree:
    """The modules of a recorded run, in the order in which they ran."""
    root = _grown(run.findings)
    by_node = grouped((f.node, f) for f in run.findings)
    listed = _listed(by_node)
    bad = [node for node, found in by_node.items() if any(map(_trouble, found))]
    places = {node: f"{anchor}-node-{i}" for i, node in enumerate(bad, 1) if node in listed}
    views = _Views(_shapes(graph) if graph else {}, listed, places, {*bad[:OPEN]})
    modules = [views.module(branch, ()) for branch in root.inner.values()]
    if root.own:
        modules.append(views.module(Branch((), root.own), ()))
    return ModuleTree(run, tuple(modules), places, _counted(by_node, listed))


def _grown(findings: Iterable[Finding]) -> Branch:
    root = Branch()
    for f in findings:
        branch = root
        path = module_of(f)
        for name in path.split(".", LEVELS - 1) if path else ():
            branch = branch.inner.setdefault(name, Branch((*branch.path, name)))
        branch.own.setdefault(f.node, []).append(f)
    return root


def _trouble(f: Finding) -> bool:
    """Whether a reader should look at it: it is wrong, undecided, or tests nothing."""
    return f.parity is False or f.verdict is Verdict.INCONCLUSIVE or f.untested


def _listed(by_node: dict[str, list[Finding]]) -> set[str]:
    """The nodes with rows: all, or of many those that are not right, and others beside them."""
    if sum(map(len, by_node.values())) <= MOST:
        return {*by_node}
    beside = {module_of(f) for found in by_node.values() for f in found if _trouble(f)}

    def interest(node: str) -> tuple[bool, bool, bool, float]:
        found = by_node[node]
        return (
            any(f.parity is False for f in found),
            any(map(_trouble, found)),
            any(not f.elements for f in found),
            max(map(share, found)),
        )

    room, listed = MOST, set()
    for node in sorted(by_node, key=interest, reverse=True):
        *reasons, _ = interest(node)
        if any(reasons) or module_of(by_node[node][0]) in beside:
            room -= len(by_node[node])
            if room < 0:
                break
            listed.add(node)
    return listed


@dataclass(frozen=True)
class _Views:
    """Makes the views of modules: which nodes have rows and anchors, and which are in the open."""

    shapes: dict[str, str]
    listed: set[str]
    places: dict[str, str]
    shown: set[str]

    def module(self, branch: Branch, outer: tuple[str, ...]) -> ModuleView:
        """The view of a module; one that holds a single module and nothing else is joined to it."""
        while len(branch.inner) == 1 and not branch.own:
            (branch,) = branch.inner.values()
        inner = tuple(self.module(each, branch.path) for each in branch.inner.values())
        found = [*branch.all()]
        worst = cell(found)
        assert worst is not None
        most = max(map(share, found))
        rows = {node: self.row(node, those) for node, those in branch.own.items()
                if node in self.listed}  # fmt: skip
        opened = any(each.open for each in inner)
        return ModuleView(
            name=".".join(branch.path[len(outer) :]) or "(no module)",
            outer="".join(f"{name}." for name in outer),
            nodes=len(nodes_of(found)),
            results=len(found),
            wrong=sum(f.parity is False for f in found),
            undecided=sum(_trouble(f) and f.parity is not False for f in found),
            worst=worst,
            part=f"{100 * most:.0f}% of a bound" if most <= 1 else "beyond a bound",
            open=opened or any(n in self.shown for n, those in branch.own.items()
                               if any(map(_trouble, those))),
            bad=tuple(row for row in rows.values() if row.anchor),
            right=tuple(row for row in rows.values() if not row.anchor),
            counted=_counted(branch.own, self.listed),
            inner=inner,
        )  # fmt: skip

    def row(self, node: str, found: Sequence[Finding]) -> NodeRow:
        """The row of a node."""
        f = next((f for f in found if f.op != SUM), found[0])
        value, more = _results([f for f in found if not f.quantity.is_gradient])
        gradients, others = _results([f for f in found if f.quantity.is_gradient])
        anchor = self.places.get(node, "") if any(map(_trouble, found)) else ""
        name = node or str(f.quantity)
        op = f.op.removesuffix("()")
        op = op if len(op) <= OP else f"{op[: OP - 1]}…"
        return NodeRow(
            name, anchor, op, self.shapes.get(node, ""), f.source, value, gradients, more + others
        )


def _counted(by_node: dict[str, list[Finding]], listed: set[str]) -> int:
    """How many nodes are not listed."""
    return len(nodes_of(f for node, found in by_node.items() if node not in listed for f in found))


def _shapes(graph: Graph) -> dict[str, str]:
    """Node -> the shapes of the parameters and inputs that it takes."""
    taken = {node.name: [n for n in node.inputs if n in graph.inputs] for node in graph.nodes}
    return {
        node: ", ".join(f"{n.rpartition('.')[2]} {graph.inputs[n]}" for n in names)
        for node, names in taken.items()
    }


def _results(found: Sequence[Finding]) -> tuple[tuple[Result, ...], int]:
    """Each result that is not right, and how many more of these; else the worst of all in one."""
    told = [f for f in found if _trouble(f) or (not f.elements and f.note)]
    if not told:
        worst = cell(found)
        return (() if worst is None else (Result(worst),)), 0
    results = []
    for f in told[:LISTED]:
        note = "" if f.note in (SILENT, STRUCTURE) else f.note
        note = note if len(note) <= NOTE else f"{note[: NOTE - 1]}…"
        one = cell([f])
        assert one is not None
        results.append(Result(one, str(f.quantity), note))
    return tuple(results), len(told) - len(results)
