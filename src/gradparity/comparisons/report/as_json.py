"""A report as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

from ..findings.shown import printer
from ..findings.stored import parsed, plain, record
from .records import PARITY
from .report import Report

__all__ = ["SCHEMA", "from_document", "from_json", "to_json"]

SCHEMA = "gradparity/report/1"


@printer(Report, "json")
def to_json(report: Report) -> str:
    """JSON with a versioned schema; infinities and NaN are strings."""
    document = {
        "schema": SCHEMA,
        "exit_code": report.exit_code,
        "parity": PARITY[report.exit_code],
        "environment": report.environment,
        "skipped": report.skipped,
        "graphs": report.graphs,
        "runs": [{**vars(run), "verdict": run.verdict} for run in report.runs],
        "differences": report.differences,
    }
    return json.dumps(plain(document), allow_nan=False, indent=1)


@printer(Report, "from json")
def from_json(text: str) -> Report:
    """The report that `to_json` wrote.

    Raises
    ------
    ValueError : the text is not JSON, has another schema, or is not a complete report.

    >>> from gradparity.comparisons.check.check import check
    >>> from gradparity.core import *
    >>> report = check(layered([Affine(3, 2), ReLU()], L2()), backprop)
    >>> from_json(to_json(report)) == report
    True
    """
    return from_document(parsed(text))


def from_document(document: Any) -> Report:
    """As `from_json`, for JSON that is already parsed."""
    return record(Report, document, SCHEMA, "`gradparity check --json FILE`")
