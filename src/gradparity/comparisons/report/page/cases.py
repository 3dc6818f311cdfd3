"""One case of a page: the picture of its network, its heat map, and its quantities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ...findings.finding import Finding
from ...findings.layout import grouped
from ..graph import Graph
from ..records import Run, by_case, quantities, share
from ..report import Report
from .cells import Cell, cell, worst
from .groups import DIV, SHOWN, Group, groups
from .modules import ModuleTree, tree
from .picture import Box, Picture, picture

__all__ = ["CaseView", "views"]

#: Maximum number of rows of the table of quantities, and of characters of a line in a box.
ROWS, LINE = 600, 30


@dataclass(frozen=True)
class NodeView:
    """A box: its name and op, and the worst findings of all implementations."""

    box: Box
    anchor: str
    title: str
    op: str
    full: str
    forward: Cell | None
    backward: Cell | None


@dataclass(frozen=True)
class HeatRow:
    """A group of nodes, and (value, gradient) of each run."""

    name: str
    anchor: str
    op: str
    cells: tuple[tuple[Cell | None, Cell | None], ...]


@dataclass(frozen=True)
class QuantityRow:
    quantity: str
    op: str
    cells: tuple[Cell | None, ...]
    final: bool


@dataclass(frozen=True)
class CaseView:
    """The part of a page about one case.

    Attributes
    ----------
    anchor : anchor of its heading.
    runs : one per column.
    missing : (implementation, gradients that it did not return).
    placeless : faults that belong to no node of the picture.
    nodes, drawn : the picture, if the network is known.
    heat : a row per group of nodes.
    whole : a row per node, if any group has several.
    quantities : of `total` many, those nearest to their bound, in the network's order; none of a
        recorded program.
    trees : the modules of each run of a recorded program.
    """

    name: str
    about: str
    anchor: str
    graph: Graph | None
    runs: tuple[Run, ...]
    missing: tuple[tuple[str, str], ...]
    placeless: tuple[str, ...]
    drawn: Picture | None
    nodes: tuple[NodeView, ...]
    heat: tuple[HeatRow, ...]
    whole: tuple[HeatRow, ...]
    quantities: tuple[QuantityRow, ...]
    total: int
    exit_code: int
    trees: tuple[ModuleTree, ...]

    @property
    def cells(self) -> dict[str, Cell | None]:
        """The worst finding of each run by its column, None for other columns."""
        return defaultdict(lambda: None, {run.column: cell(run.findings) for run in self.runs})


def views(report: Report) -> list[CaseView]:
    """Every case, in the order of the report."""
    return [
        _view(case, f"case-{i}", report.graphs.get(case), tuple(runs))
        for i, (case, runs) in enumerate(by_case(report.runs).items(), start=1)
    ]


Found = dict[str, list[Finding]]
Ops = dict[str, str]


def _view(name: str, anchor: str, graph: Graph | None, runs: tuple[Run, ...]) -> CaseView:
    by_node = [_by_node(run.findings) for run in runs]
    drawn, nodes, heat, whole = None, [], [], []
    placeless: dict[str, None] = {}
    trees = [tree(r, graph, f"{anchor}-{i}") for i, r in enumerate(runs, 1) if r.coverage]
    if graph is not None and not (trees and len(graph.nodes) + len(graph.inputs) > SHOWN):
        ops = {node.name: node.op for node in graph.nodes}
        ops |= {name: f"{shape}" for name, shape in graph.inputs.items()}
        ops |= {DIV: graph.divergence} if graph.divergence else {}
        nowhere = [(r, f) for r in runs for f in r.findings if f.node not in (*ops, "Err")]
        placeless |= {f"{f.quantity} ({r.column})": None for r, f in nowhere if f.parity is False}
        wrong = {n for n in ops for f in _all(by_node, [n]) if f.parity is False}
        grouped = groups(graph, wrong)
        drawn = picture(grouped)
        places = {box.name: box for box in drawn.boxes}
        nodes = [_node(g, places[g.name], anchor, ops, by_node) for g in grouped]
        heat = [_heat_row(g, anchor, ops, by_node) for g in grouped]
        if any(len(group.nodes) > 1 for group in grouped):
            every = [Group(n, (n,), ()) for g in grouped for n in g.nodes]
            whole = [_heat_row(g, f"{anchor}-all", ops, by_node) for g in every]
    rows = [] if trees else _quantities(runs)
    codes = {run.exit_code for run in runs}
    missing = dict.fromkeys((run.adapter, ", ".join(run.missing)) for run in runs if run.missing)
    return CaseView(
        name, runs[0].about, anchor, graph, runs, tuple(missing), tuple(placeless), drawn,
        tuple(nodes), tuple(heat),
        tuple(whole), tuple(_nearest(rows, runs)), len(rows),
        1 if 1 in codes else max(codes), tuple(trees),
    )  # fmt: skip


def _by_node(findings: Iterable[Finding]) -> Found:
    """The findings by node; those of Err belong to Div."""
    return grouped((DIV if f.node == "Err" else f.node, f) for f in findings)


def _all(by_node: Iterable[Found], names: Iterable[str]) -> list[Finding]:
    return [f for found in by_node for name in names for f in found.get(name, ())]


def _split(findings: Iterable[Finding]) -> tuple[Cell | None, Cell | None]:
    """The cells of the values and of the gradients."""
    sides = grouped((f.quantity.is_gradient, f) for f in findings)
    return cell(sides.get(False, ())), cell(sides.get(True, ()))


def _node(group: Group, box: Box, anchor: str, ops: Ops, by_node: list[Found]) -> NodeView:
    forward, backward = _split(_all(by_node, group.nodes))
    full = _op(group, ops)
    title = _cut(group.name, LINE)
    op = _cut(full.removesuffix("()"), LINE - len(title) - 1)
    return NodeView(box, f"{anchor}-{group.nodes[0]}", title, op, full, forward, backward)


def _heat_row(group: Group, anchor: str, ops: Ops, by_node: list[Found]) -> HeatRow:
    cells = tuple(_split(_all([found], group.nodes)) for found in by_node)
    return HeatRow(
        group.name, f"{anchor}-{group.nodes[0]}", _op(group, ops).removesuffix("()"), cells
    )


def _op(group: Group, ops: Ops) -> str:
    return ops.get(group.name, f"{len(group.nodes)} nodes")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 1)]}…"


def _quantities(runs: tuple[Run, ...]) -> list[QuantityRow]:
    rows = []
    for quantity, findings in quantities(runs):
        first = next(f for f in findings if f is not None)
        cells = tuple(None if f is None else cell([f]) for f in findings)
        rows.append(QuantityRow(quantity, first.op, cells, first.final))
    return rows


def _nearest(rows: list[QuantityRow], runs: tuple[Run, ...]) -> list[QuantityRow]:
    """At most `ROWS` rows: those without parity, then those nearest to their bound."""
    if len(rows) <= ROWS:
        return rows
    by_quantity = grouped((str(f.quantity), f) for run in runs for f in run.findings)

    def badness(row: QuantityRow) -> tuple[int, float]:
        f = worst(by_quantity[row.quantity])
        return (0, 0.0) if f is None else (f.parity is not True, share(f))

    kept = {row.quantity for row in sorted(rows, key=badness, reverse=True)[:ROWS]}
    return [row for row in rows if row.quantity in kept]
