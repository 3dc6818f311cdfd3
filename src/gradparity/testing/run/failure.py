"""A report without parity as an AssertionError; and every report told to pytest."""

from __future__ import annotations

import sys

from ...comparisons.report.diagnosis import diagnosis
from ...comparisons.report.report import Report

__all__ = ["concluded", "diagnosis", "record"]


def concluded(report: Report) -> Report:
    """The report, if there is parity; recorded for the summary of pytest in any case.

    Raises
    ------
    AssertionError : with the diagnosis, unless there is parity.
    """
    __tracebackhide__ = True
    record(report)
    if not report:
        raise AssertionError(diagnosis(report))
    return report


def record(report: Report) -> None:
    """Tell the pytest plugin, where it is active and a test is running."""
    plugin = sys.modules.get("_gradparity_pytestplugin")
    if plugin is not None and plugin.found is not None:
        plugin.found.append(report)
