"""Error against bound, for every quantity: drawn by Matplotlib, as an image that a page holds.

An image knows the colours of the page it stands in only through CSS: those drawn here are
stand-ins, replaced by variables that the image's own style sheet sets for light and for dark.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from ..records import share
from ..report import Report

__all__ = ["HOW", "Plot", "plots"]

#: What to do where it is missing.
HOW = 'Install Matplotlib for the plots: pip install "gradparity[report]".'

INK, FAINT, LIMIT = "#010101", "#020202", "#030303"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04")
#: Stand-in -> its colour in light and in dark, each with a contrast of at least 3 to its page.
COLOURS = {
    INK: ("#1b1f24", "#e6e8eb"),
    FAINT: ("#c3c8ce", "#4a5058"),
    LIMIT: ("#b3261e", "#ff8a80"),
    SERIES[0]: ("#0b63b8", "#6cb2ff"),
    SERIES[1]: ("#a05a00", "#f0a64b"),
    SERIES[2]: ("#3f7a2b", "#84c96c"),
    SERIES[3]: ("#7d3fb5", "#c79bf0"),
}
MARKERS = "osD^vP"
#: In u: smaller bounds and errors are drawn here, where nobody looks for a difference between them,
#: and an error of zero below.
SMALLEST, ZERO = 1e-4, 1e-5
#: Beyond these nothing is drawn where it is: a bound of zero, a number that no axis can hold.
TINY, LARGEST = 1e-3, 1e30
#: Digits kept of the logarithm of a position.
KEPT = 2


@dataclass(frozen=True)
class Plot:
    """An image as a data URI, and in words what it shows."""

    dtype: str
    uri: str
    alt: str


def plots(report: Report) -> list[Plot]:
    """One for each dtype; none where Matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return []
    found = []
    for dtype in dict.fromkeys(run.dtype for run in report.runs):
        series: dict[str, list[tuple[float, float]]] = {}
        for run in report.runs:
            if run.dtype == dtype:
                series.setdefault(run.adapter, []).extend(_points(run.findings))
        if any(series.values()):
            found.append(Plot(dtype, _uri(_drawn(series, dtype)), _words(report, dtype)))
    return found


def _points(findings: object) -> Iterator[tuple[float, float]]:
    """(bound, error) in u; a bound of zero with an error is drawn at the left, above the line."""
    for f in findings:  # type: ignore[attr-defined]
        if f.elements and f.bound < math.inf and (f.bound or f.error):
            yield min(max(f.bound, SMALLEST * TINY), LARGEST), f.error


def _words(report: Report, dtype: str) -> str:
    there = [(run, f) for run, f in report.findings() if run.dtype == dtype and f.elements]
    beyond = sum(f.outside > 0 for _, f in there)
    run, f = max(there, key=lambda pair: share(pair[1]))
    furthest = f"{f.quantity} of {run.adapter}, case {run.case}"
    return (
        f"Error against bound in {dtype}, both in u on logarithmic scales: {len(there)} "
        f"quantities, {beyond} of them beyond their bound; the furthest is {furthest}, "
        f"with an error of {f.error:.2g} u and a bound of {f.bound:.2g} u."
    )


def _drawn(series: dict[str, list[tuple[float, float]]], dtype: str) -> str:
    """The figure as the text of an SVG, which is the same for the same points."""
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    points = [point for some in series.values() for point in some]
    ceiling = max([1.0, *(x for point in points for x in point if x < LARGEST)])
    settings = {"svg.hashsalt": "gradparity", "svg.fonttype": "none", "font.size": 10,
                "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
                "ytick.color": INK, "axes.edgecolor": FAINT}  # fmt: skip
    with style.context(["default", settings]):  # whatever a user has configured
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for i, (name, points) in enumerate(series.items()):
            there = dict.fromkeys(_rounded(b, e, 10 * ceiling) for b, e in points)
            axes.plot(
                *zip(*there, strict=True), MARKERS[i % len(MARKERS)], label=f"{name[:40]} {dtype}",
                color=SERIES[i % len(SERIES)], markersize=4.5, fillstyle="none",
            )  # fmt: skip
        bounds = [max(b, SMALLEST) for points in series.values() for b, _ in points]
        ends = [0.5 * min(bounds), 2 * max(bounds)]
        axes.plot(ends, ends, color=LIMIT, linewidth=1.2, label="error = bound")
        axes.axhline(ZERO, color=FAINT, linewidth=0.8, linestyle="--")
        axes.annotate("exact: error 0", (ends[0], ZERO), xytext=(2, 3),
                      textcoords="offset points", fontsize=8)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="bound in u", ylabel="error in u", xlim=ends)
        legend = axes.legend(frameon=False, fontsize=9, loc="best")
        for label in legend.get_texts():
            label.set_parse_math(False)  # a name may have a dollar in it
        axes.patch.set_alpha(0.0)
        figure.patch.set_alpha(0.0)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _rounded(bound: float, error: float, ceiling: float) -> tuple[float, float]:
    """Where it is drawn: points that look the same are one, or the page would be large."""
    if bound < SMALLEST:  # on its side of the line still
        error *= 1.0 if bound <= SMALLEST * TINY else SMALLEST / bound
        bound = SMALLEST
    error = ZERO if error == 0.0 else max(error, SMALLEST) if error < ceiling else ceiling
    return tuple(10 ** round(math.log10(x), KEPT) for x in (bound, error))  # type: ignore[return-value]


def _uri(svg: str) -> str:
    for stand_in in COLOURS:
        svg = svg.replace(stand_in, f"var(--c{stand_in[1:]})")
    light, dark = (
        "".join(f"--c{stand_in[1:]}:{pair[i]};" for stand_in, pair in COLOURS.items())
        for i in (0, 1)
    )
    style = f"<style>svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    start = svg.index(">", svg.index("<svg")) + 1
    data = (svg[:start] + style + svg[start:]).encode()
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"
