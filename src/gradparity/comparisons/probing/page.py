"""An atlas as one page of HTML: kinks, plots of the digits left, and structured inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ...core.arithmetic.precision import Precision
from ..atlas.as_text import kink_rows
from ..atlas.smooth.errors import digits_of
from ..atlas.smooth.points import FORMATS
from ..atlas.smooth.regions import Region
from ..atlas.stored import Atlas, Entry, point_name
from ..atlas.structures.departures import Departure
from ..findings.layout import grouped
from ..report.page.html import environment, policy, source

__all__ = ["Curve", "Plot", "atlas_page"]

#: Left, top, right and bottom of a plot's area, in px.
AREA = (30, 6, 330, 106)
#: Decades of either sign that a plot shows; what is beyond is drawn at the ends.
DECADES = 20
#: Digits at the top of a plot.
TOP = 16.0
#: Width of the narrowest region, in px.
NARROW = 2.0


class Curve(NamedTuple):
    """The digits left in one format as a path; `colour` is a class of the style sheet."""

    dtype: str
    colour: int
    path: str


@dataclass(frozen=True)
class Plot:
    """The digits left of one quantity of one function; `words` : the worst of each format."""

    quantity: str
    curves: tuple[Curve, ...]
    words: tuple[str, ...]


class Function(NamedTuple):
    """A function of an adapter, how many users meet its worst numbers, and its plots."""

    adapter: str
    spelling: str
    users: str
    plots: tuple[Plot, ...]


def atlas_page(atlas: Atlas, *, title: str = "") -> str:
    """One page without scripts or requests; the same bytes for the same atlas."""
    style = source("style.css")
    departures = () if atlas.structures is None else atlas.structures.departures
    return environment().get_template("atlas.html.j2").render(
        title=title or "gradparity atlas",
        style=style,
        policy=policy(style),
        atlas=atlas,
        adapters=[*atlas.versions],
        formats=FORMATS,
        outside=any(e.valid is False for e in atlas.entries),
        outside_rows=[*_outside(atlas.entries)],
        kink_table=[*_kinks(atlas)],
        functions=[] if atlas.smooth is None else [*_functions(atlas.smooth.regions)],
        departures=departures,
        departure_table=[*_departures(departures)],
        area=AREA,
        across=[(_x(x), label) for x, label in _TICKS],
        up=[(_y(n), n) for n in (0, 4, 8, 12, 16)],
    )  # fmt: skip


_TICKS = (
    (-1e20, "-10²⁰"), (-1.0, "-1"), (0.0, "0"), (1.0, "1"), (1e20, "10²⁰"),
)  # fmt: skip


def _outside(entries: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    """Function, adapter, point, what is taken, and where, of slopes that are not valid."""
    wrong = [e for e in entries if e.valid is False]
    for (adapter, spelling, point, said), found in grouped(
        ((e.adapter, e.spelling, point_name(e.point), e.said), e) for e in wrong
    ).items():
        where = ", ".join(dict.fromkeys(f"{e.mode} {e.dtype}" for e in found))
        yield spelling, adapter, point, said.removesuffix(" OUTSIDE"), where


def _functions(regions: Sequence[Region]) -> Iterator[Function]:
    shown = [r for r in regions if not r.ill]
    for (adapter, spelling), found in grouped(((r.adapter, r.spelling), r) for r in shown).items():
        by_quantity = grouped((r.quantity, r) for r in found)
        plots = (_plot(quantity, by_quantity[quantity]) for quantity in sorted(by_quantity))
        yield Function(adapter, spelling, found[0].users, tuple(reversed([*plots])))


def _plot(quantity: str, regions: Sequence[Region]) -> Plot:
    curves, words = list[Curve](), list[str]()
    for i, dtype in enumerate(FORMATS):
        mine = [r for r in regions if r.dtype == dtype]
        curves.append(Curve(dtype, i, _path(digits_of(Precision.of(dtype)), mine)))
        words += [f"{dtype}: {r.said}" for r in mine[:1]]
    return Plot(quantity, tuple(curves), tuple(words))


def _path(digits: float, regions: Sequence[Region]) -> str:
    """A line at all digits that steps down to what is left at the worst number of each region."""
    spans = [_span(r) for r in regions]
    ends = sorted({AREA[0], AREA[2], *(x for span in spans for x in span)})
    steps = [f"M{AREA[0]} {_level(digits, regions, spans, ends[0], ends[1])}"]
    for left, right in pairwise(ends):
        steps.append(f"V{_level(digits, regions, spans, left, right)}H{right}")
    return "".join(steps)


def _span(region: Region) -> tuple[float, float]:
    low, high = _x(region.low), _x(region.high)
    middle = (low + high) / 2
    low, high = min(low, middle - NARROW / 2), max(high, middle + NARROW / 2)
    return round(max(low, AREA[0]), 1), round(min(high, AREA[2]), 1)


def _level(
    digits: float, regions: Sequence[Region], spans: Sequence[tuple[float, float]],
    left: float, right: float,
) -> float:  # fmt: skip
    worst = (r.lost for r, (a, b) in zip(regions, spans, strict=True) if a <= left and right <= b)
    return _y(max(0.0, digits - max(worst, default=0.0)))


def _x(x: float) -> float:
    """The px of a number: logarithmic to both sides of 0."""
    side = 0.0 if x == 0 else max(0.0, min(2.0 * DECADES, _decade(x) + DECADES))
    share = (math.copysign(side, x) / (2 * DECADES) + 1) / 2
    return round(AREA[0] + share * (AREA[2] - AREA[0]), 1)


def _decade(x: float) -> float:
    return math.log10(abs(x)) if math.isfinite(x) else math.inf


def _y(digits: float) -> float:
    return round(AREA[3] - digits / TOP * (AREA[3] - AREA[1]), 1)


def _kinks(atlas: Atlas) -> Iterator[tuple[str, ...]]:
    """A row for each kink, with what every adapter takes."""
    for spelling, where, valid, taken in kink_rows(atlas.entries):
        yield spelling, where, valid, *(taken.get(name, "") for name in atlas.versions)


def _departures(found: Sequence[Departure]) -> Iterator[tuple[str, ...]]:
    """The first result of each function, structure, quantity and status, and where all are."""
    for mine in grouped(
        ((d.adapter, d.function, d.structure, d.quantity, d.status), d) for d in found
    ).values():
        where = ", ".join(dict.fromkeys(f"{d.way} {d.dtype}".strip() for d in mine))
        d = mine[0]
        yield d.function, d.adapter, d.structure, d.quantity, d.status, d.got, d.true, where
