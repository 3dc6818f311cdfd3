"""Merge the reports of a run of pytest into one, whose cases are named by their test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..comparisons.findings.stored import record
from ..comparisons.report.as_json import from_document
from ..comparisons.report.page.html import html
from ..comparisons.report.records import Difference, Run
from ..comparisons.report.report import Report
from .files import SCHEMA

__all__ = ["merged", "page"]


@dataclass(frozen=True)
class Test:
    """One test in the JSON document; `reports` as parsed, each with a schema of its own."""

    nodeid: str
    skipped: dict[str, str]
    reports: tuple[Any, ...]


@dataclass(frozen=True)
class Written:
    """The parts of the JSON document of a test run that `merged` reads."""

    tests: tuple[Test, ...]


def merged(document: Any) -> Report:
    """Merge the reports of all tests; the environment is the union of theirs.

    Raises
    ------
    ValueError : the document was not written by ``pytest --gradparity-report=FILE.json``.
    """
    written = record(Written, document, SCHEMA, "`pytest --gradparity-report=FILE.json`")
    runs: list[Run] = []
    differences: list[Difference] = []
    found = Report(())
    for test in written.tests:
        for i, report in enumerate(map(from_document, test.reports), start=1):
            check = f", check {i}" if i > 1 else ""  # so that another check renames none
            name = f"{test.nodeid}{check}: "
            runs += [replace(run, case=f"{name}{run.case}") for run in report.runs]
            differences += [replace(d, case=f"{name}{d.case}") for d in report.differences]
            found.graphs.update({f"{name}{case}": g for case, g in report.graphs.items()})
            found.environment.update(report.environment)
            found.skipped.update(report.skipped | test.skipped)
    return replace(found, runs=tuple(runs), differences=tuple(differences))


def page(document: Mapping[str, Any]) -> str:
    """The page about a run of pytest, which also lists the tests without a result."""
    return html(merged(document), title="gradient parity under pytest", notes=[*_notes(document)])


def _notes(document: Mapping[str, Any]) -> Iterator[str]:
    by_outcome: dict[str, list[str]] = {}
    for test in document["tests"]:
        by_outcome.setdefault(test["outcome"], []).append(test["nodeid"])
    counted = ", ".join(f"{len(names)} {outcome}" for outcome, names in by_outcome.items())
    yield f"Tests that checked a gradient: {counted or 'none'}."
    for outcome in ("xfailed", "xpassed", "skipped", "error"):
        if outcome in by_outcome:
            yield f"{outcome.capitalize()}: {', '.join(by_outcome[outcome])}."
    if document["unfinished"]:
        yield f"Without a result: {', '.join(document['unfinished'])}. This report lacks them."
