"""The conformance suite for adapters: what every adapter promises, asked of one.

The author of an adapter calls `check_adapter`, or writes a test class on `AdapterConformance`;
`checks` are the single checks both are made of.  Nothing here knows a framework.

subject     the adapter under examination;  trace: the protocol, and what a trace has to show
boundary    copies, running, errors, global state
networks    every op and divergence, branches, kinks, number formats
"""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from ..adapters.base import AdapterError
from . import conformance_boundary, conformance_networks, conformance_trace
from .conformance_subject import Subject

__all__ = ["AdapterConformance", "CheckResult", "CheckResults", "check_adapter", "checks"]

#: Every check by name, in the order in which an author needs them.
CHECKS: dict[str, Callable[[Subject], None]] = {
    **conformance_trace.CHECKS,
    **conformance_boundary.CHECKS,
    **conformance_networks.CHECKS,
}


def checks(adapter: Any) -> dict[str, Callable[[], None]]:
    """The checks of one adapter by name; the names are the same for every adapter.

    Each raises AssertionError saying what was returned, what was expected and what to do, and
    `unittest.SkipTest` where the adapter leaves out what is optional (pytest takes it as a skip).

    Parameters
    ----------
    adapter : a registered name, an adapter, or its class.

    >>> list(checks("torch"))[:4]
    ['protocol', 'entry-point', 'name', 'versions']
    """
    subject = Subject(adapter)
    return {name: partial(_ask, check, subject) for name, check in CHECKS.items()}


def _ask(check: Callable[[Subject], None], subject: Subject) -> None:
    """One check; whatever the adapter raises is its failure, told with its type."""
    try:
        check(subject)
    except (AssertionError, unittest.SkipTest):
        raise
    except AdapterError as error:
        raise AssertionError(f"the adapter says that it cannot: {error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise AssertionError(
            f"the adapter raised {said}; what it cannot do has to be an AdapterError that names it"
        ) from error


@dataclass(frozen=True)
class CheckResult:
    """What one check said.

    Attributes
    ----------
    check : its name.
    status : "passed"; "failed"; "skipped", of what is optional and absent; "xfail", failed as
        expected; "xpass", passed although it was expected to fail, which is a failure too.
    message : why it failed or was skipped.
    reason : why it was expected to fail.
    """

    check: str
    status: str
    message: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.status not in ("failed", "xpass")


class CheckResults(list[CheckResult]):
    """A list of results; ``print`` shows it as a table, what is missing first."""

    def __str__(self) -> str:
        ordered = sorted(self, key=lambda r: _ORDER.index(r.status))
        counts = {s: sum(r.status == s for r in self) for s in _ORDER}
        lines = [", ".join(f"{n} {status}" for status, n in counts.items() if n)]
        told: dict[str, str] = {}  # message -> the check that said it first
        for result in ordered:
            if result.status != "passed":
                lines += _lines(result, told.setdefault(result.message, result.check))
        return "\n".join(lines)


_ORDER = ("failed", "xpass", "xfail", "skipped", "passed")


def _lines(result: CheckResult, told_by: str) -> list[str]:
    said = result.message if told_by == result.check else f"as {told_by}"
    if result.status == "xpass":
        said = "passed, though it was expected to fail: take it out of expected_failed_checks"
    first, *rest = said.splitlines() or [""]
    rest += [f"expected: {result.reason}"] if result.reason else []
    return [f"{result.status:<8}{result.check:<24}{first}", *(" " * 32 + more for more in rest)]


def check_adapter(
    adapter: Any,
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: str | None = "raise",
    callback: Callable[[CheckResult], None] | None = None,
) -> CheckResults:
    """Ask an adapter for everything an adapter promises.

    Parameters
    ----------
    adapter : a registered name, an adapter, or its class.
    expected_failed_checks : check name -> why it fails; one that passes is a failure.
    on_fail : "raise" one AssertionError, at the end, that lists all that is missing; "warn" the
        same; or None.
    callback : told every result when it is there.

    Returns
    -------
    CheckResults : a list of `CheckResult`; ``print(results)`` is a table.

    Raises
    ------
    AssertionError : ``on_fail="raise"``, and something failed or passed unexpectedly.
    ValueError : an expected failure names no check, or on_fail is something else.
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f"on_fail is {on_fail!r}; give 'raise', 'warn' or None")
    expected = _expected(expected_failed_checks)
    results = CheckResults()
    for name, check in checks(adapter).items():
        results.append(_result(name, check, expected.get(name)))
        if callback is not None:
            callback(results[-1])
    missing = CheckResults(r for r in results if not r.ok)
    if missing and on_fail == "raise":
        raise AssertionError(f"{_called(adapter)} does not conform:\n{missing}")
    if missing and on_fail == "warn":
        warnings.warn(f"{_called(adapter)} does not conform:\n{missing}", stacklevel=2)
    return results


def _called(adapter: Any) -> str:
    return f"the adapter {getattr(adapter, 'name', adapter)!r}"


def _result(name: str, check: Callable[[], None], reason: str | None) -> CheckResult:
    try:
        check()
    except unittest.SkipTest as skip:
        return CheckResult(name, "skipped", str(skip))
    except AssertionError as error:
        found = CheckResult(name, "failed", str(error))
        return found if reason is None else replace(found, status="xfail", reason=reason)
    status = "passed" if reason is None else "xpass"
    return CheckResult(name, status, reason=reason or "")


def _expected(given: Mapping[str, str] | None) -> Mapping[str, str]:
    """Expected failures, every one naming a check and giving a reason."""
    given = given or {}
    unknown = sorted(set(given) - set(CHECKS))
    if unknown:
        raise ValueError(
            f"expected_failed_checks names {unknown}, which are no checks; there are {list(CHECKS)}"
        )
    for name, reason in given.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"expected_failed_checks[{name!r}] is {reason!r}; say why it fails")
    return given


class AdapterConformance:
    """Every check as a test of its own: ``test_conforms[op-relu]``.

    Write a subclass in a test file, and pytest runs it.  A check that is expected to fail has to
    (``xfail_strict``), and a name that is no check is an error.

        class TestMine(AdapterConformance):
            adapter = "mine"
            expected_failed_checks = {"op-gelu": "mine has no erf"}
    """

    __test__ = False
    adapter: ClassVar[Any] = ""
    expected_failed_checks: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__test__" not in vars(cls):
            cls.__test__ = True  # pytest would inherit False

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for every check, the expected failures marked; called by pytest."""
        import pytest

        if "conformance_check" not in metafunc.fixturenames:
            return
        asked = type(self)
        if not asked.adapter:
            raise ValueError(f"{asked.__name__}.adapter is {asked.adapter!r}; name your adapter")
        expected = _expected(asked.expected_failed_checks)
        marks = {
            name: (pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True),)
            for name, reason in expected.items()
        }
        found = checks(asked.adapter)
        metafunc.parametrize(
            "conformance_check",
            [
                pytest.param(check, id=name, marks=marks.get(name, ()))
                for name, check in found.items()
            ],
        )

    def test_conforms(self, conformance_check: Callable[[], None]) -> None:
        """The adapter keeps one promise."""
        __tracebackhide__ = True
        conformance_check()
