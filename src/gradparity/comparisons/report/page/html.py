"""The page: a pure function of the report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ...findings.shown import printer
from ..causes import causes
from ..change_records import Changes
from ..changes_text import LIMIT, told, verdict_line
from ..records import columns_of
from ..report import Report
from . import plots, sections
from .cases import CaseView, views
from .cells import MEANING, SIGN, both, number
from .picture import BOX

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "html", "policy", "source"]

#: Maximum number of cases shown in full; with more, a table comes first and each case is folded.
UNFOLDED = 3


@printer(Report, "html")
def html(
    report: Report, *, title: str = "", notes: Sequence[str] = (), changes: Changes | None = None
) -> str:
    """One page without scripts or requests; the same bytes for the same report.

    Parameters
    ----------
    report : the report to show.
    title : title of the page; "gradparity report" if empty.
    notes : sentences shown at the top, such as tests that the report lacks.
    changes : the changes since an earlier report, shown at the top too.

    >>> from gradparity.comparisons.check.check import check
    >>> from gradparity.core import *
    >>> page = html(check(layered([Affine(3, 2), ReLU()], L2()), backprop))
    >>> page.startswith("<!doctype html>"), "<script" in page
    (True, False)
    """
    cases = views(report)
    found = causes(report)
    kinks = sections.kinks(report)
    pairs, alike = sections.differences(report)
    style = source("style.css")
    word, sentence, compared = sections.in_words(report)
    return environment().get_template("report.html.j2").render(
        title=title or "gradparity report",
        notes=notes,
        style=style,
        policy=policy(style),
        report=report,
        changes=changes,
        told=told(changes)[:LIMIT] if changes else [],
        changes_line=verdict_line(changes) if changes is not None else "",
        word=word,
        sentence=sentence,
        compared=compared,
        verdicts=sections.verdicts(report),
        faults=found[: sections.FAULTS],
        more=max(0, len(found) - sections.FAULTS),
        differences=pairs,
        alike=alike,
        cases=cases,
        anchors={case.name: case.anchor for case in cases},
        places=_places(cases),
        recorded=bool(cases) and all(case.trees for case in cases),
        few=len(cases) <= UNFOLDED,
        columns=columns_of(report.runs),
        plots=plots.plots(report),
        area=plots.AREA,
        kinks=kinks[: sections.KINKS],
        more_kinks=max(0, len(kinks) - sections.KINKS),
        powers=sections.powers(report),
        conventions=sections.conventions(report),
        unseen=sections.unseen(report),
        box=BOX,
    )  # fmt: skip


def _places(cases: Sequence[CaseView]) -> dict[tuple[str, str, str], str]:
    """(case, column, node) -> anchor of the row of a node that is not right."""
    return {
        (case.name, tree.run.column, node): anchor
        for case in cases
        for tree in case.trees
        for node, anchor in tree.places.items()
    }


@cache
def environment() -> Environment:
    """The templates of all pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("gradparity.comparisons.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"sign": SIGN, "meaning": MEANING}
    made.filters |= {"number": number, "both": both, "rows": sections.fault_rows}
    return made


def source(name: str) -> str:
    """The text of a template or style sheet."""
    templates = environment()
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def policy(style: str) -> str:
    """The security policy: no scripts or requests; only this style sheet and inline images."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
