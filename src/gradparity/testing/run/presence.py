"""Find the implementations that can be run here, and skip the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import pytest

from ...adapters.base import Adapter, AdapterError, get_adapter
from ...comparisons.report.report import Report
from .failure import record

__all__ = ["NOT_INSTALLED", "one_adapter", "present", "skip"]

#: The name of the one test of an adapter whose framework is missing.
NOT_INSTALLED = "not_installed"


def present(
    implementations: Iterable[Any], required: Iterable[str] = ()
) -> tuple[list[Any], dict[str, str]]:
    """The implementations that can be run; and name -> why, of the adapters that are not there.

    Raises
    ------
    AdapterError : an adapter is unknown or broken; or it is required, and missing.
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


def skip(absent: dict[str, str]) -> NoReturn:
    """Skip the test for want of these adapters, which the summary tells too."""
    __tracebackhide__ = True
    record(Report((), skipped=absent))
    pytest.skip("; ".join(absent.values()))


def one_adapter(name: str, required: Iterable[str]) -> Adapter:
    """The adapter of this name; the test is skipped if it is merely not installed."""
    __tracebackhide__ = True
    chosen, absent = present([name], required)
    if absent:
        skip(absent)
    found: Adapter = chosen[0]
    return found
