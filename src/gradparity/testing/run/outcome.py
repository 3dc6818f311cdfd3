"""How a check ends: it passes, fails with a diagnosis, or is skipped without its framework."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from ...adapters.base import AdapterError, get_adapter
from ...comparisons.report.diagnosis import diagnosis
from ...comparisons.report.report import Report

__all__ = ["NOT_INSTALLED", "concluded", "diagnosis", "one_adapter", "present", "skip"]

#: The name of the one test of an adapter whose framework is missing.
NOT_INSTALLED = "not_installed"


def concluded(report: Report) -> Report:
    """Return a report with parity; record it for pytest's summary in any case.

    Raises
    ------
    AssertionError : with the diagnosis, unless there is parity.
    """
    __tracebackhide__ = True
    _record(report)
    if not report:
        raise AssertionError(diagnosis(report))
    return report


def skip(absent: dict[str, str]) -> NoReturn:
    """Skip the test because these adapters are missing, and record that for pytest's summary."""
    __tracebackhide__ = True
    import pytest

    _record(Report((), skipped=absent))
    pytest.skip("; ".join(absent.values()))


def _record(report: Report) -> None:
    """Hand a report to the pytest plugin, if it is active and a test is running."""
    plugin = sys.modules.get("_gradparity_pytestplugin")
    if plugin is not None and plugin.found is not None:
        plugin.found.append(report)


def present(
    implementations: Iterable[Any], required: Iterable[str] = ()
) -> tuple[list[Any], dict[str, str]]:
    """The implementations that can be run, and name -> why for the adapters that are missing.

    Raises
    ------
    AdapterError : an adapter is unknown or broken, or it is required and missing.
    """
    __tracebackhide__ = True
    chosen: list[Any] = []
    absent: dict[str, str] = {}
    for each in implementations:
        try:
            chosen.append(get_adapter(each) if isinstance(each, str) else each)
        except AdapterError as error:
            if each in required or not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            absent[each] = str(error)
    return chosen, absent


def one_adapter(name: str, required: Iterable[str]) -> Any:
    """The adapter of this name; the test is skipped if the framework is merely not installed."""
    __tracebackhide__ = True
    chosen, absent = present([name], required)
    return chosen[0] if chosen else skip(absent)
