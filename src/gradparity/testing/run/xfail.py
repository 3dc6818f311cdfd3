"""Checks that are expected to fail, each with the reason why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["reasons", "xfail"]


def reasons(
    given: Mapping[str, str] | None, checks: Collection[str] | None = None
) -> dict[str, str]:
    """The expected failures, every one with a reason; and naming one of the checks, if given.

    Raises
    ------
    TypeError : something else than a mapping.
    ValueError : saying what is wrong with which.

    >>> reasons({"op-gelu": "it has no erf"})
    {'op-gelu': 'it has no erf'}
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"expected_failed_checks is {given!r}; "
            "give a dict such as {'op-gelu': 'it has no erf'}"
        )
    known = given if checks is None else checks
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"expected_failed_checks names {unknown}, which are no checks; there are {list(known)}"
        )
    for name, reason in given.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"expected_failed_checks[{name!r}] is {reason!r}; say why")
    return dict(given)


def xfail(reason: str | None, strict: bool = True, **how: Any) -> list[Any]:
    """The marks of a test under pytest; none, unless there is a reason why it has to fail."""
    import pytest

    return [pytest.mark.xfail(reason=reason, strict=strict, **how)] if reason else []
