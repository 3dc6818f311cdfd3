"""An atlas as one page of HTML: kinks, plots of the digits left, and structured inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..atlas.as_text import kink_rows
from ..atlas.smooth.points import FORMATS
from ..atlas.stored import Atlas, Entry, point_name
from ..atlas.structures.departures import Departure
from ..findings.layout import grouped
from ..report.page.html import environment, policy, source
from . import plots

__all__ = ["atlas_page"]


def atlas_page(atlas: Atlas, *, title: str = "") -> str:
    """One page without scripts or requests; the same bytes for the same atlas."""
    style = source("style.css")
    departures = () if atlas.structures is None else atlas.structures.departures
    worst, others = ([], []) if atlas.smooth is None else plots.functions(atlas.smooth)
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
        worst=worst,
        others=others,
        departures=departures,
        departure_table=[*_departures(departures)],
        plot=plots,
    )  # fmt: skip


def _outside(entries: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    """Function, adapter, point, what is taken, and where, of slopes that are not valid."""
    wrong = [e for e in entries if e.valid is False]
    for (adapter, spelling, point, said), found in grouped(
        ((e.adapter, e.spelling, point_name(e.point), e.said), e) for e in wrong
    ).items():
        where = ", ".join(dict.fromkeys(f"{e.mode} {e.dtype}" for e in found))
        yield spelling, adapter, point, said.removesuffix(" OUTSIDE"), where


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
