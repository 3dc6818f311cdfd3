"""Plots of the digits left by functions, as paths of SVG and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...core.arithmetic.precision import Precision
from ..atlas.smooth.curves import BINS, ENDS, QUANTITIES, Curve
from ..atlas.smooth.errors import digits_of
from ..atlas.smooth.points import FORMATS
from ..atlas.smooth.regions import Region, Smooth
from ..findings.layout import grouped

__all__ = ["HEIGHT", "LEFT", "RIGHT", "WIDTH", "Function", "Panel", "functions"]

#: Width of a plot; left and right of its panels; height of a panel, space between two; in px.
WIDTH, LEFT, RIGHT, HEIGHT, BETWEEN = 280, 24, 264, 64, 20
#: Digits at the top of a panel.
TOP = 16.0
NAMES = {"value": "value", "derivative": "slope"}
OVER = {"x": "", "mean": "over the mean, in deviations", "spread": "over the spread"}


def _edge(x: float) -> int:
    """The interval that begins at an end, on either side of 0."""
    side = ENDS.index(abs(x)) + 1 if x else 0
    return len(ENDS) + 1 + (side if x > 0 else -side)


#: What a curve is over -> where the numbers below a plot stand, in intervals, and their text.
TICKS = {
    "x": [(float(_edge(x)), label) for x, label in (
        (-1e4, "-10⁴"), (-10.0, "-10"), (-1.0, "-1"), (0.0, "0"), (1.0, "1"), (10.0, "10"),
        (1e4, "10⁴"))],
    "mean": [(0.5, "1"), (16.5, "10⁸"), (32.5, "10¹⁶")],
    "spread": [(0.5, "10⁻¹⁰"), (20.5, "1"), (40.5, "10¹⁰")],
}  # fmt: skip


class Panel(NamedTuple):
    """One quantity: top and bottom in px, the numbers of digits there, and a path per format."""

    name: str
    top: int
    bottom: int
    up: tuple[tuple[float, int], ...]
    paths: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Function:
    """A function of an adapter, how many users meet its worst numbers, its plot and words.

    `panels` : none for an atlas without curves.
    """

    adapter: str
    spelling: str
    users: str
    over: str
    panels: tuple[Panel, ...]
    ticks: tuple[tuple[float, str], ...]
    words: tuple[str, ...]


def functions(smooth: Smooth) -> tuple[list[Function], list[Function]]:
    """The functions that have regions, the worst first; and all others."""
    curves = {(c.adapter, c.spelling): c for c in smooth.curves}
    regions = grouped(((r.adapter, r.spelling), r) for r in smooth.regions if not r.ill)
    worst = [_function(*key, curves.get(key), mine) for key, mine in regions.items()]
    return worst, [_function(*key, c, []) for key, c in curves.items() if key not in regions]


def _function(
    adapter: str, spelling: str, curve: Curve | None, regions: Sequence[Region]
) -> Function:
    users = regions[0].users if regions else ""
    words = tuple(word for quantity in QUANTITIES for word in _words(quantity, regions))
    if curve is None:
        return Function(adapter, spelling, users, "", (), (), words)
    measured = [q for q in QUANTITIES if any(name.startswith(q) for name in curve.lost)]
    panels = tuple(_panel(curve, q, i) for i, q in enumerate(measured))
    ticks = tuple((_x(curve.over, at), label) for at, label in TICKS[curve.over])
    return Function(adapter, spelling, users, OVER[curve.over], panels, ticks, words)


def _words(quantity: str, regions: Sequence[Region]) -> list[str]:
    """The worst loss in the first format, and the first result that is not finite or should be."""
    mine, words = [r for r in regions if r.quantity == quantity], list[str]()
    for infinite in (False, True):
        if found := [r for r in mine if math.isinf(r.lost) == infinite]:
            more = [dtype for dtype in FORMATS[::-1] if any(r.dtype == dtype for r in found)]
            more.remove(found[0].dtype)
            also = f"; also in {', '.join(more)}" if more else ""
            words.append(f"{NAMES[quantity]}, {found[0].dtype}: {found[0].said}{also}")
    return words


def _panel(curve: Curve, quantity: str, number: int) -> Panel:
    top = BETWEEN + number * (HEIGHT + BETWEEN)
    lines = ((i, curve.digits(quantity, dtype), dtype) for i, dtype in enumerate(FORMATS))
    paths = tuple(
        (i, _path(curve.over, lost, digits_of(Precision.of(dtype)), top))
        for i, lost, dtype in lines if lost is not None
    )  # fmt: skip
    up = tuple((_y(n, top), n) for n in (0, 8, 16))
    return Panel(NAMES[quantity], top, top + HEIGHT, up, paths)


def _path(kind: str, lost: Sequence[float | None], digits: float, top: int) -> str:
    """A line with a step for each interval, broken where nothing was asked."""
    steps, last = list[str](), None
    for i, each in enumerate(lost):
        level = None if each is None else _y(max(0.0, digits - each), top)
        if level is not None and level == last:
            steps.pop()  # the line goes on to the next end
        elif level is not None:
            steps.append(f"M{_x(kind, i):g} {level:g}" if last is None else f"V{level:g}")
        if level is not None:
            steps.append(f"H{_x(kind, i + 1):g}")
        last = level
    return "".join(steps)


def _x(kind: str, bins: float) -> float:
    """The px after so many intervals."""
    return round(LEFT + bins / BINS[kind] * (RIGHT - LEFT), 1)


def _y(digits: float, top: int) -> float:
    return round(2 * (top + (1 - digits / TOP) * HEIGHT)) / 2
