"""One case of a page: the picture of its network, the heat map, and every quantity."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...findings.finding import SUM, Finding, Verdict
from ..graph import Graph
from ..records import Run, share
from ..report import Report
from .cells import Cell, cell, worst
from .groups import DIV, Group, groups
from .picture import Box, Picture, picture

__all__ = ["CaseView", "views"]

#: Rows of the table of quantities, and characters of a line in a box.
ROWS, LINE = 600, 30


@dataclass(frozen=True)
class NodeView:
    """A box: its name and op, and the worst that any implementation had there."""

    box: Box
    anchor: str
    title: str
    op: str
    full: str
    forward: Cell | None
    backward: Cell | None


@dataclass(frozen=True)
class HeatRow:
    """A group of nodes, and for each run its (value, gradient)."""

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
    anchor : of its heading.
    runs : its columns.
    missing : implementation -> the gradients it did not return.
    placeless : what is wrong and belongs to no node of the picture.
    nodes, drawn : the picture, if the network is known.
    heat : a row per group of nodes; `whole`: a row per node, where groups have several.
    quantities : those nearest to their bound, in the network's order; of `total`.
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

    @property
    def cells(self) -> dict[str, Cell | None]:
        """The worst of each run, by its column; None where there is no such run."""
        return defaultdict(lambda: None, {run.column: cell(run.findings) for run in self.runs})


def views(report: Report) -> list[CaseView]:
    """Every case, in the order of the report."""
    runs: dict[str, list[Run]] = {}
    for run in report.runs:
        runs.setdefault(run.case, []).append(run)
    return [
        _view(case, f"case-{i}", report.graphs.get(case), tuple(mine))
        for i, (case, mine) in enumerate(runs.items(), start=1)
    ]


Found = dict[str, list[Finding]]


def _view(name: str, anchor: str, graph: Graph | None, runs: tuple[Run, ...]) -> CaseView:
    by_node = [_by_node(run.findings) for run in runs]
    drawn, nodes, heat, whole = None, [], [], []
    placeless: dict[str, None] = {}
    if graph is not None:
        ops = {node.name: node.op for node in graph.nodes}
        ops |= {name: f"{shape}" for name, shape in graph.inputs.items()}
        ops |= {DIV: graph.divergence} if graph.divergence else {}
        nowhere = [(r, f) for r in runs for f in r.findings if f.node not in (*ops, "Err")]
        placeless |= {f"{f.quantity} ({r.column})": None for r, f in nowhere if f.parity is False}
        telling = {n for n in ops for f in _all(by_node, [n]) if f.parity is False}
        grouped = groups(graph, telling)
        drawn = picture(grouped)
        places = {box.name: box for box in drawn.boxes}
        nodes = [_node(g, places[g.name], anchor, ops, by_node) for g in grouped]
        heat = [_heat_row(g, anchor, ops, by_node) for g in grouped]
        if any(len(group.nodes) > 1 for group in grouped):
            every = [Group(n, (n,), ()) for g in grouped for n in g.nodes]
            whole = [_heat_row(g, f"{anchor}-all", ops, by_node) for g in every]
    quantities = _quantities(runs)
    codes = {run.exit_code for run in runs}
    missing = dict.fromkeys((run.adapter, ", ".join(run.missing)) for run in runs if run.missing)
    return CaseView(
        name, runs[0].about, anchor, graph, runs, tuple(missing), tuple(placeless), drawn,
        tuple(nodes), tuple(heat),
        tuple(whole), tuple(_nearest(quantities, runs)), len(quantities),
        1 if 1 in codes else max(codes),
    )  # fmt: skip


def _by_node(findings: Iterable[Finding]) -> Found:
    """By the node whose formula was tested; Err belongs to Div."""
    found: Found = {}
    for f in findings:
        found.setdefault(DIV if f.node == "Err" else f.node, []).append(f)
    return found


def _all(by_node: Iterable[Found], names: Iterable[str]) -> list[Finding]:
    return [f for found in by_node for name in names for f in found.get(name, ())]


def _split(findings: Iterable[Finding]) -> tuple[Cell | None, Cell | None]:
    """The worst of the values, and of the gradients."""
    sides: tuple[list[Finding], list[Finding]] = [], []
    for f in findings:
        sides[f.quantity.is_gradient].append(f)
    return cell(sides[0]), cell(sides[1])


def _node(
    group: Group, box: Box, anchor: str, ops: Mapping[str, str], by_node: list[Found]
) -> NodeView:
    forward, backward = _split(_all(by_node, group.nodes))
    full = _op(group, ops)
    title = _cut(group.name, LINE)
    op = _cut(_short(full), LINE - len(title) - 1)
    return NodeView(box, _anchor(anchor, group), title, op, full, forward, backward)


def _heat_row(group: Group, anchor: str, ops: Mapping[str, str], by_node: list[Found]) -> HeatRow:
    cells = tuple(_split(_all([found], group.nodes)) for found in by_node)
    return HeatRow(group.name, _anchor(anchor, group), _short(_op(group, ops)), cells)


def _op(group: Group, ops: Mapping[str, str]) -> str:
    return ops[group.name] if group.name in ops else f"{len(group.nodes)} nodes"


def _anchor(anchor: str, group: Group) -> str:
    return f"{anchor}-{group.nodes[0]}"


def _short(op: str) -> str:
    """Without words that are nearly always the same."""
    op = re.sub(r"n_in=(\d+), n_out=(\d+)", r"\1→\2", op)
    op = re.sub(r", bias=True|, on='logits'", "", op)
    return op.replace("()", "")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 1)]}…"


def _quantities(runs: tuple[Run, ...]) -> list[QuantityRow]:
    """A row per quantity; that of a sum over a single use says nothing of its own."""
    found = [{f.quantity: f for f in run.findings} for run in runs]
    rows = []
    for quantity in dict.fromkeys(q for quantities in found for q in quantities):
        mine = [quantities.get(quantity) for quantities in found]
        there = [f for f in mine if f is not None]
        if all(f.op == SUM and f.verdict is Verdict.EXACT for f in there):
            continue
        cells = tuple(None if f is None else cell([f]) for f in mine)
        rows.append(QuantityRow(quantity, there[0].op, cells, there[0].final))
    return rows


def _nearest(rows: list[QuantityRow], runs: tuple[Run, ...]) -> list[QuantityRow]:
    """So many rows as a page holds: those without parity, then those nearest to their bound."""
    if len(rows) <= ROWS:
        return rows
    by_quantity: Found = {}
    for run in runs:
        for f in run.findings:
            by_quantity.setdefault(f.quantity, []).append(f)

    def badness(row: QuantityRow) -> tuple[int, float]:
        f = worst(by_quantity[row.quantity])
        return (0, 0.0) if f is None else (f.parity is not True, share(f))

    kept = {row.quantity for row in sorted(rows, key=badness, reverse=True)[:ROWS]}
    return [row for row in rows if row.quantity in kept]
