"""Checks that are expected to fail, each with the reason why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["reasons", "refuse_unknown", "xfail"]


def reasons(given: Any, source: str = "") -> dict[str, str]:
    """Validate expected failures: name of a check -> why it is expected to fail.

    Raises
    ------
    TypeError : something else than a mapping.
    ValueError : a check without a reason.

    >>> reasons({"op-gelu": "it has no erf"})
    {'op-gelu': 'it has no erf'}
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"expected_failed_checks{source} is {given!r}; "
            "give a dict such as {'op-gelu': 'it has no erf'}"
        )
    for name, reason in given.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(
                f"expected_failed_checks[{name!r}] is {reason!r}; give the reason for the failure"
            )
    return dict(given)


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for expected failures of checks that do not exist."""
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(
            f"expected_failed_checks names unknown checks {', '.join(map(repr, unknown))}; "
            f"valid names: {', '.join(known)}"
        )


def xfail(reason: str | None, strict: bool = True, **how: Any) -> list[Any]:
    """The pytest marks of a test: an xfail if there is a reason why it has to fail, else none."""
    import pytest

    return [pytest.mark.xfail(reason=reason, strict=strict, **how)] if reason else []
