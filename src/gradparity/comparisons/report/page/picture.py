"""The picture of a network: where its nodes and edges are drawn, top to bottom.

Rows are by depth (the longest path from x).  An edge that passes a row has a lane of its own there,
so that it runs beside the boxes and not through them; within a row, everything stands near what it
takes its values from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .groups import Group

__all__ = ["BOX", "Box", "Picture", "Wire", "picture"]

#: Width and height of a box; between boxes; between rows; and the width of a lane, in px.
BOX, GAP, ROW, LANE = (248, 52), 20, 30, 16


@dataclass(frozen=True)
class Box:
    """Where a group of nodes is drawn: the left upper corner, in px."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Wire:
    """An edge as the path of an SVG, from above to below."""

    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Picture:
    """All of it, and the size it needs, in px."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: float
    height: float


@dataclass(frozen=True)
class Slot:
    """A box, or where an edge passes a row."""

    name: str
    row: int
    width: float
    passes: tuple[str, str] | None = None


def picture(groups: Iterable[Group]) -> Picture:
    """Lay out a graph, whose groups are in topological order.

    >>> def group(name, *inputs):
    ...     return Group(name, (name,), inputs)
    >>> drawn = picture([group("x"), group("z1", "x"), group("y1", "z1"), group("s", "y1", "z1")])
    >>> [(box.name, box.y) for box in drawn.boxes]
    [('x', 0), ('z1', 82), ('y1', 164), ('s', 246)]
    >>> [(wire.source, wire.target) for wire in drawn.wires]
    [('x', 'z1'), ('z1', 'y1'), ('y1', 's'), ('z1', 's')]
    """
    groups = list(groups)
    depth: dict[str, int] = {}
    for group in groups:
        depth[group.name] = 1 + max((depth[i] for i in group.inputs), default=-1)
    slots, chains = _slots(groups, depth)
    centre = _placed(slots, chains)
    leftmost = min(centre[slot] - slot.width / 2 for slot in slots)
    centre = {slot: x - leftmost for slot, x in centre.items()}
    height = BOX[1] + ROW
    boxes = tuple(
        Box(slot.name, centre[slot] - slot.width / 2, slot.row * height)
        for slot in slots
        if not slot.passes
    )
    wires = tuple(
        Wire(source, target, _path([(centre[slot], slot) for slot in chain]))
        for (source, target), chain in chains.items()
    )
    width = max(centre[slot] + slot.width / 2 for slot in slots)
    return Picture(boxes, wires, width, (1 + max(depth.values())) * height - ROW)


Edge = tuple[str, str]


def _slots(
    groups: list[Group], depth: Mapping[str, int]
) -> tuple[list[Slot], dict[Edge, list[Slot]]]:
    """Every box and every passing of a row; and of each edge, what it leads through."""
    box = {g.name: Slot(g.name, depth[g.name], BOX[0]) for g in groups}
    slots = list(box.values())
    chains: dict[Edge, list[Slot]] = {}
    for group in groups:
        for source in group.inputs:
            between = range(depth[source] + 1, depth[group.name])
            edge = source, group.name
            passed = [Slot(f"{source} {group.name}", row, LANE, edge) for row in between]
            slots += passed
            chains[edge] = [box[source], *passed, box[group.name]]
    return slots, chains


def _placed(slots: list[Slot], chains: Mapping[Edge, list[Slot]]) -> dict[Slot, float]:
    """The centre of each slot: rows from above to below, each ordered by where it comes from."""
    above: dict[Slot, list[Slot]] = {slot: [] for slot in slots}
    for chain in chains.values():
        for one, next_one in pairwise(chain):
            above[next_one].append(one)
    centre: dict[Slot, float] = {}
    rows: dict[int, list[Slot]] = {}
    for slot in slots:
        rows.setdefault(slot.row, []).append(slot)
    for _, row in sorted(rows.items()):

        def wanted(slot: Slot) -> float:
            places = [centre[other] for other in above[slot]]
            return sum(places) / len(places) if places else 0.0

        row = sorted(row, key=lambda slot: (wanted(slot), slot.passes is not None))
        left = sum(map(wanted, row)) / len(row) - (sum(s.width + GAP for s in row) - GAP) / 2
        for slot in row:
            centre[slot] = left + slot.width / 2
            left += slot.width + GAP
    return centre


def _path(chain: list[tuple[float, Slot]]) -> str:
    """Down from the first box, bent between the rows, straight beside the boxes it passes."""
    height = BOX[1] + ROW
    (x, first), *rest = chain
    y = first.row * height + BOX[1]
    path = f"M{x:g} {y:g}"
    for centre, slot in rest:
        top = slot.row * height
        path += f"C{x:g} {y + ROW / 2:g} {centre:g} {top - ROW / 2:g} {centre:g} {top:g}"
        x, y = centre, top
        if slot.passes:
            y += BOX[1]
            path += f"V{y:g}"
    return path
