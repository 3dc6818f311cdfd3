"""A plain ``assert gradparity.check(...)`` under pytest: the diagnosis beneath the traceback.

pytest shortens what an asserted expression evaluated to; a report has more than one line to say.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from ..comparisons.report.report import Report
from .run.outcome import diagnosis

__all__ = ["explain"]


def explain(report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Add to a failed test what is wrong in each report that its failing statement asserts."""
    shown: Any = report.longrepr
    if not excinfo.errisinstance(AssertionError) or not hasattr(shown, "addsection"):
        return
    entry = excinfo.traceback[-1]
    if entry.ishidden(excinfo):
        return  # raised by us, with the diagnosis
    for asserted in _asserted(entry):
        shown.addsection("gradient parity", diagnosis(asserted))


def _asserted(entry: Any) -> list[Report]:
    """The reports without parity that the statement is about, named in it or made by it.

    Under names such as @py_assert1 pytest keeps what the parts of an asserted expression were.
    """
    statement = str(entry.statement)
    found: list[Report] = []
    for name, value in entry.locals.items():
        there = name.startswith("@py_assert") or re.search(rf"\b{re.escape(name)}\b", statement)
        if there and isinstance(value, Report) and not value and value not in found:
            found.append(value)
    return found
