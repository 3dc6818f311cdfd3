"""Every check of an adapter by its name, to be asked one by one."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from functools import partial
from typing import Any

from ...adapters.base import AdapterError
from . import boundary, networks, trace
from .subject import Subject

__all__ = ["CHECKS", "checks"]

#: Every check by name, in the order in which an author needs them.
CHECKS: dict[str, Callable[[Subject], None]] = {
    **trace.CHECKS,
    **boundary.CHECKS,
    **networks.CHECKS,
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
