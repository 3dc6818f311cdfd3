"""Collect the reports of tests from every worker, for the terminal, JUnit and one file.

A worker sends text and numbers only; imports neither NumPy nor pytest.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import SCHEMA, write_whole

if TYPE_CHECKING:
    from ..comparisons.report.report import Report

__all__ = ["add", "lines", "packed", "properties", "write"]

#: Node id -> what the phases of the test have sent, and its outcome.
Tests = Mapping[str, dict[str, Any]]
#: Runs without parity that the terminal summary lists.
LISTED = 5
#: Outcomes of a test, worst first: a later phase can only make it worse.
OUTCOMES = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")


def packed(reports: list[Report], full: bool) -> str:
    """Findings of one phase of a test as text: a row per run, and with `full` every report."""
    rows = [
        {
            "case": run.case,
            "adapter": run.adapter,
            "dtype": run.dtype,
            "exit_code": run.exit_code,
            "badness": worst.verdict.badness,
            "verdict": str(worst.verdict),
            "quantity": worst.quantity,
            "error": float(worst.error),
            "bound": float(worst.bound),
            "counts": Counter(str(f.verdict) for f in run.findings),
        }
        for report in reports
        for run in report.runs
        for worst in [run.worst]
    ]
    skipped = {name: why for report in reports for name, why in report.skipped.items()}
    # An empty report stands for a test that was skipped.
    whole = [json.loads(report.to_json()) for report in reports if full and report.runs]
    return json.dumps({"rows": rows, "skipped": skipped, "reports": whole})


def properties(reports: list[Report]) -> list[tuple[str, object]]:
    """Properties of a test for JUnit, flat and of builtin types, which pass between workers."""
    runs = [run for report in reports for run in report.runs]
    if not runs:
        return []
    worst = max(runs, key=lambda run: (run.exit_code == 1, run.worst.verdict.badness, run.nearest))
    found: dict[str, object] = {
        "parity": {0: "yes", 1: "no", 2: "unknown"}[max((r.exit_code for r in runs), key=_rank)],
        "runs": len(runs),
        "quantities": sum(len(run.findings) for run in runs),
        "implementations": ",".join(dict.fromkeys(run.adapter for run in runs)),
        "dtypes": ",".join(dict.fromkeys(run.dtype for run in runs)),
        "verdict": str(worst.worst.verdict),
        "where": f"{worst.case}, {worst.adapter}, {worst.dtype}: {worst.worst.quantity}",
        "error_u": float(worst.worst.error),
        "bound_u": float(worst.worst.bound),
    }
    return [(f"gradparity.{name}", value) for name, value in found.items()]


def _rank(exit_code: int) -> int:
    """Parity, unknown, a difference."""
    return (0, 2, 1)[exit_code]


def add(tests: dict[str, dict[str, Any]], report: Any, text: str | None) -> None:
    """Add what a phase of a test has sent, and update the outcome of the test."""
    if text is not None:
        sent = json.loads(text)
        test = tests.setdefault(report.nodeid, {"outcome": "passed", "sent": [], "skipped": {}})
        test["sent"].append(sent)
        test["skipped"].update(sent["skipped"])
    if report.outcome == "rerun":  # by pytest-rerunfailures: what counts is still to come
        tests.pop(report.nodeid)
        return
    test = tests[report.nodeid]
    test["outcome"] = min(test["outcome"], _outcome(report), key=OUTCOMES.index)


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    failed_outside = report.failed and report.when != "call"
    return "error" if failed_outside else str(report.outcome)


def write(tests: Tests, path: Path, exit_status: int, unfinished: Iterable[str]) -> None:
    """Write every report, sorted by test: as JSON, or as a page if the name ends in .html."""
    document = {
        "schema": SCHEMA,
        "exit_status": exit_status,
        "unfinished": sorted(unfinished),
        "tests": [
            {
                "nodeid": nodeid,
                "outcome": test["outcome"],
                "skipped": test["skipped"],
                "reports": [report for sent in test["sent"] for report in sent["reports"]],
            }
            for nodeid, test in sorted(tests.items())
        ],
    }
    if path.suffix == ".html":
        from .merged import page

        write_whole(path, page(document))
    else:
        write_whole(path, json.dumps(document, allow_nan=False, indent=1) + "\n")


def lines(tests: Tests, path: str, unfinished: int) -> Iterator[str]:
    """Lines of the terminal's summary; no name can break its line."""
    for line in _lines(tests, path, unfinished):
        yield "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _lines(tests: Tests, path: str, unfinished: int) -> Iterator[str]:
    rows = [
        {**row, "test": nodeid, "outcome": test["outcome"]}
        for nodeid, test in sorted(tests.items())
        for sent in test["sent"]
        for row in sent["rows"]
    ]
    if rows:
        counts: Counter[str] = sum((Counter(row["counts"]) for row in rows), Counter())
        by_verdict = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        ran = len({row["test"] for row in rows})
        total = f"{len(rows)} runs, {counts.total()} quantities"
        yield f"{ran} test{'s' * (ran > 1)}, {total}: {by_verdict}"
        yield from _worst(rows)
    skipped = Counter(item for test in tests.values() for item in test["skipped"].items())
    for (name, why), times in skipped.items():
        yield f"skipped in {times} test{'s' * (times > 1)}: {name}: {why}"
    if path:
        left = f", except those of {unfinished} that did not finish" if unfinished else ""
        yield f"every report is in {path}{left}"


def _worst(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The runs without parity; if every run has it, the quantity nearest to its bound."""
    rows = sorted(rows, key=_badness)
    bad = [row for row in rows if row["exit_code"]]
    for row in bad[:LISTED]:
        outcome = "" if row["outcome"] == "failed" else f" ({row['outcome']})"
        yield (
            f"{row['test']}{outcome}: {row['verdict']} in {row['quantity']}, {_run(row)}"
            f"{_error(row)}"
        )
    if len(bad) > LISTED:
        yield f"... and {len(bad) - LISTED} more runs without parity"
    if not bad:
        row = rows[0]
        yield (
            f"nearest to its bound: {row['quantity']}, {_run(row)}, at {100 * _share(row):.0f}% "
            f"({row['test']})"
        )


def _error(row: dict[str, Any]) -> str:
    """The error and its bound; empty where neither was measured, as between two programs."""
    measured = row["error"] or row["bound"]
    return f": {row['error']:.3g} u, bound {row['bound']:.3g} u" if measured else ""


def _badness(row: dict[str, Any]) -> tuple[float, ...]:
    """Sort key, worst first: a difference, an unknown, the largest share of a bound."""
    return -_rank(row["exit_code"]), -row["badness"] if row["exit_code"] else 0, -_share(row)


def _run(row: dict[str, Any]) -> str:
    return f"{row['adapter']}, {row['dtype']}, case {row['case']!r}"


def _share(row: dict[str, Any]) -> float:
    """The share of the bound that was used; NaN ranks above all others."""
    share = row["error"] / row["bound"] if row["bound"] else float(row["error"] > 0)
    return math.inf if math.isnan(share) else float(share)
