"""The picture of a network: positions of its nodes and edges, from top to bottom.

A row holds the nodes of one depth (the longest path from x).  An edge that passes a row has a lane
of its own there, beside the boxes; within a row, everything is near its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from ...findings.layout import grouped
from .groups import Group

__all__ = ["BOX", "Box", "Picture", "Wire", "picture"]

#: In px: width and height of a box, gap between boxes, gap between rows, width of a lane.
BOX, GAP, ROW, LANE = (248, 52), 20, 30, 16


@dataclass(frozen=True)
class Box:
    """The upper left corner of a group of nodes, in px."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Wire:
    """An edge as an SVG path, drawn downwards."""

    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Picture:
    """Boxes and edges, and the size of the picture in px."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: float
    height: float


@dataclass(frozen=True)
class Slot:
    """A box, or the lane of an edge that passes a row."""

    name: str
    row: int
    width: float
    passes: tuple[str, str] | None = None


def picture(groups: Iterable[Group]) -> Picture:
    """Lay out groups that are in topological order.

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
    """Every box and lane, and the slots along each edge."""
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
    """The centre of each slot; every row is ordered by the positions of its inputs."""
    above: dict[Slot, list[Slot]] = {slot: [] for slot in slots}
    for chain in chains.values():
        for one, next_one in pairwise(chain):
            above[next_one].append(one)
    centre: dict[Slot, float] = {}
    for _, row in sorted(grouped((slot.row, slot) for slot in slots).items()):

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
    """The SVG path of an edge: bent between rows, straight in its lanes."""
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
