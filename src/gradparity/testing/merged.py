"""The reports of a run of pytest as one, whose cases are named by their test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..comparisons.findings.stored import record
from ..comparisons.report.as_json import from_document
from ..comparisons.report.graph import Graph
from ..comparisons.report.page.html import html
from ..comparisons.report.records import Difference, Run
from ..comparisons.report.report import Report
from .document import SCHEMA

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
    """One report of all tests; its environment is what any of them had.

    Raises
    ------
    ValueError : it is not what ``pytest --gradparity-report=FILE.json`` writes.
    """
    written = record(Written, document, SCHEMA, "`pytest --gradparity-report=FILE.json`")
    runs: list[Run] = []
    differences: list[Difference] = []
    graphs: dict[str, Graph] = {}
    environment: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for test, name, report in _reports(written):
        runs += [replace(run, case=f"{name}{run.case}") for run in report.runs]
        differences += [replace(d, case=f"{name}{d.case}") for d in report.differences]
        graphs |= {f"{name}{case}": graph for case, graph in report.graphs.items()}
        environment |= report.environment
        skipped |= report.skipped | test.skipped
    return Report(tuple(runs), tuple(differences), skipped, environment, graphs)


def _reports(written: Written) -> Iterator[tuple[Test, str, Report]]:
    """Each report with its test and the prefix of its cases' names."""
    for test in written.tests:
        for i, report in enumerate(map(from_document, test.reports), start=1):
            check = f", check {i}" if i > 1 else ""  # so that adding one renames none
            yield test, f"{test.nodeid}{check}: ", report


def page(document: Mapping[str, Any]) -> str:
    """The page about a run of pytest, which also tells what it lacks."""
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
