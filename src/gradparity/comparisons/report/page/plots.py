"""Error against bound, for every quantity: positions in a logarithmic plot, drawn by a template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...findings.finding import Finding
from ..records import share
from ..report import Report

__all__ = ["AREA", "Plot", "Series", "Tick", "plots"]

#: Left, top, right and bottom of the plot's area, in px.
AREA = (64, 8, 632, 344)
#: SVG paths of the markers, relative to a point, and the number of colours in the style sheet.
MARKERS = (
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "m-3-3h6v6h-6z", "m0-4l4 4-4 4-4-4z", "m0-4l4 7h-8z",
    "m0 4l4-7h-8z", "m-4 0h8m-4-4v8",
)  # fmt: skip
COLOURS = 4
#: In u: the position of all smaller bounds and errors, and that of an error of zero.
SMALLEST, ZERO = 1e-4, 1e-5
#: Substitutes for a bound of zero (relative to SMALLEST) and for numbers too large for an axis.
TINY, LARGEST = 1e-3, 1e30
#: Maximum number of ticks of an axis, and the raised digits of exponents.
TICKS = 8
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in px."""

    at: float
    label: str


@dataclass(frozen=True)
class Series:
    """The points of one implementation, as one path; `marker` is the path of a single point."""

    name: str
    colour: int
    marker: str
    path: str


@dataclass(frozen=True)
class Plot:
    """All quantities of one dtype.

    Attributes
    ----------
    words : a description of the plot.
    bound : ends x, y, x, y of the line where the error equals the bound.
    zero : the y of errors that are zero.
    """

    dtype: str
    words: str
    series: tuple[Series, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    bound: tuple[float, float, float, float]
    zero: float


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from the number `low`, at `start` px, to `high`, at `end` px."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, x: float) -> float:
        part = math.log10(x / self.low) / math.log10(self.high / self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self) -> Iterator[Tick]:
        """Powers of ten; also their multiples by 2 and 5 if fewer than two powers fit."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        if last <= first:
            values = [
                factor * 10.0**n for n in (first - 1, first, last + 1) for factor in (1, 2, 5)
            ]
            labels = {x: f"{x:g}" for x in values if self.low <= x <= self.high}
        else:
            exponents = range(first, last + 1, 1 + (last - first) // TICKS)
            labels = {10.0**n: f"10{str(n).translate(RAISED)}" for n in exponents}
        for x, label in labels.items():
            yield Tick(self(x), label)


def plots(report: Report) -> list[Plot]:
    """One plot for each dtype in which something was compared."""
    found = []
    for dtype in dict.fromkeys(run.dtype for run in report.runs):
        points: dict[str, list[tuple[float, float]]] = {}
        for run in report.runs:
            if run.dtype == dtype:
                points.setdefault(run.adapter, []).extend(_points(run.findings))
        if any(points.values()):
            found.append(_plot(points, dtype, _words(report, dtype)))
    return found


def _points(findings: Iterable[Finding]) -> Iterator[tuple[float, float]]:
    """(bound, error) in u; a bound of zero with an error is drawn at the left, above the line."""
    for f in findings:
        if f.elements and f.bound < math.inf and (f.bound or f.error):
            yield min(max(f.bound, SMALLEST * TINY), LARGEST), f.error


def _words(report: Report, dtype: str) -> str:
    found = [(run, f) for run, f in report.findings() if run.dtype == dtype and f.elements]
    beyond = sum(f.outside > 0 for _, f in found)
    run, f = max(found, key=lambda pair: share(pair[1]))
    furthest = f"{f.quantity} of {run.adapter}, case {run.case}"
    return (
        f"Error against bound in {dtype}, both in u on logarithmic scales: {len(found)} "
        f"quantities, {beyond} of them beyond their bound; the furthest is {furthest}, "
        f"with an error of {f.error:.2g} u and a bound of {f.bound:.2g} u."
    )


def _plot(points: dict[str, list[tuple[float, float]]], dtype: str, words: str) -> Plot:
    numbers = [x for some in points.values() for point in some for x in point]
    ceiling = 10 * max([1.0, *(x for x in numbers if x < LARGEST)])
    shown = {name: [_shown(b, e, ceiling) for b, e in some] for name, some in points.items()}
    everywhere = [point for some in shown.values() for point in some]
    left, top, right, bottom = AREA
    low, high = 0.5 * min(b for b, _ in everywhere), 2 * max(b for b, _ in everywhere)
    x = Axis(low, high, left, right)
    y = Axis(0.5 * ZERO, 2 * max(high, *(e for _, e in everywhere)), bottom, top)
    series = []
    for i, (name, some) in enumerate(shown.items()):
        marker = MARKERS[i % len(MARKERS)]
        # Points in the same place are drawn once, to keep the page small.
        places = dict.fromkeys(f"M{x(b):g} {y(e):g}" for b, e in some)
        path = "".join(place + marker for place in places)
        series.append(Series(f"{name[:40]} {dtype}", i % COLOURS, marker, path))
    up = tuple(tick for tick in y.ticks() if tick.at <= y(SMALLEST))
    line = x(low), y(low), x(high), y(high)
    return Plot(dtype, words, tuple(series), tuple(x.ticks()), up, line, y(ZERO))


def _shown(bound: float, error: float, ceiling: float) -> tuple[float, float]:
    """Move a point into the range of the axes, on the same side of the line."""
    if bound < SMALLEST:
        error *= 1.0 if bound <= SMALLEST * TINY else SMALLEST / bound
        bound = SMALLEST
    return bound, ZERO if error == 0.0 else max(error, SMALLEST) if error < ceiling else ceiling
