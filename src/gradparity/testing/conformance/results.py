"""Run all checks of an adapter in a row, with the results as a table."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

from ..run.xfail import reasons, refuse_unknown
from .subject import Refused, Subject
from .suite import CHECKS, askable

__all__ = ["CheckResult", "CheckResults", "check_adapter"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    check : its name.
    status : "passed"; "failed"; "refused": an AdapterError named the op or the divergence that the
        adapter does not support; "skipped": something optional is absent; "xfail": it failed as
        expected; "xpass": it passed although it was expected to fail, which is a failure too.
    message : why it failed, was refused or skipped.
    reason : why it was expected to fail.
    """

    check: str
    status: str
    message: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the result does not count as a failure."""
        return self.status not in ("failed", "xpass")


class CheckResults(list[CheckResult]):
    """A list of results; ``print`` shows it as a table, failures first."""

    def __str__(self) -> str:
        counts = {s: sum(r.status == s for r in self) for s in _ORDER}
        lines = [", ".join(f"{n} {status}" for status, n in counts.items() if n)]
        same: dict[tuple[str, ...], list[str]] = {}  # result -> its checks
        for r in sorted(self, key=lambda r: _ORDER.index(r.status)):
            if r.status != "passed":
                same.setdefault((r.status, r.message, r.reason), []).append(r.check)
        for said, names in same.items():
            lines += _lines(*said, *names)
        return "\n".join(lines)


_ORDER = ("failed", "xpass", "xfail", "refused", "skipped", "passed")


def _lines(status: str, message: str, reason: str, check: str, *others: str) -> list[str]:
    # A diagnosis is cut to its headline and the worst quantity.
    said = "\n".join(message.split("\n\n")[:2])
    if status == "xpass":
        said = "passed, but was expected to fail: remove it from expected_failed_checks"
    first, *rest = said.splitlines() or [""]
    rest += [f"expected: {reason}"] if reason else []
    if others:
        rest += wrap(f"likewise {', '.join(others)}", 68, break_on_hyphens=False)
    return [f"{status:<8}{check:<24}{first}", *(" " * 32 + more for more in rest)]


def check_adapter(
    adapter: Any,
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
    on_fail: str | None = "raise",
    callback: Callable[[CheckResult], None] | None = None,
) -> CheckResults:
    """Run every conformance check on an adapter.

    Parameters
    ----------
    adapter : a registered name, an adapter, or its class.
    expected_failed_checks : check name -> why it fails; one that passes is a failure.
    on_fail : at the end, "raise" one AssertionError that lists every failure; "warn" instead; or
        None.
    callback : called with every result as soon as it is known.

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
    expected = reasons({} if expected_failed_checks is None else expected_failed_checks)
    refuse_unknown(expected, CHECKS)
    results = CheckResults()
    for name, check in askable(Subject(adapter)).items():
        results.append(_result(name, check, expected.get(name)))
        if callback is not None:
            callback(results[-1])
    failures = CheckResults(r for r in results if not r.ok)
    said = f"the adapter {getattr(adapter, 'name', adapter)!r} does not conform:\n{failures}"
    if failures and on_fail == "raise":
        raise AssertionError(said)
    if failures and on_fail == "warn":
        warnings.warn(said, stacklevel=2)
    return results


def _result(name: str, check: Callable[[], None], reason: str | None) -> CheckResult:
    try:
        check()
    except Refused as refused:
        return CheckResult(name, "refused", str(refused), reason or "")
    except unittest.SkipTest as skip:
        return CheckResult(name, "skipped", str(skip))
    except AssertionError as error:
        found = CheckResult(name, "failed", str(error))
        return found if reason is None else replace(found, status="xfail", reason=reason)
    status = "passed" if reason is None else "xpass"
    return CheckResult(name, status, reason=reason or "")
