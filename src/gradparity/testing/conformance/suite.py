"""Every check of an adapter by its name, to be run one by one."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from functools import partial
from typing import Any

from ...adapters.base import AdapterError
from ...comparisons.running.raised import raised
from . import boundary, networks, trace
from .subject import Subject

__all__ = ["CHECKS", "askable", "checks"]

#: Every check by name, in the order in which an author needs them.
CHECKS: dict[str, Callable[[Subject], None]] = {
    **trace.CHECKS,
    **boundary.CHECKS,
    **networks.CHECKS,
}


def checks(adapter: Any) -> dict[str, Callable[[], None]]:
    """The checks of one adapter by name; the names are the same for every adapter.

    Each check raises AssertionError saying what was returned, what was expected and what to do.  It
    raises `unittest.SkipTest` (a skip for pytest) where the adapter lacks an optional method, or
    refuses an op or a divergence by an AdapterError that names it.

    Parameters
    ----------
    adapter : a registered name, an adapter, or its class.

    >>> list(checks("torch"))[:4]
    ['protocol', 'entry-point', 'name', 'versions']
    """
    return _checks(Subject(adapter))


def askable(subject: Subject) -> dict[str, Callable[[], None]]:
    """The checks; only the first, which says why, if the adapter cannot be loaded."""
    found = _checks(subject)
    return found if subject.unusable is None else dict([next(iter(found.items()))])


def _checks(subject: Subject) -> dict[str, Callable[[], None]]:
    return {name: partial(_ask, check, subject) for name, check in CHECKS.items()}


def _ask(check: Callable[[Subject], None], subject: Subject) -> None:
    """Run one check; report whatever the adapter raises as a failure."""
    if subject.unusable is not None:
        raise AssertionError(str(subject.unusable)) from subject.unusable
    try:
        check(subject)
    except (AssertionError, unittest.SkipTest):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, AdapterError):
            remedy = "an AdapterError has to name the op, the divergence, the precision or the "
            remedy += "device that is missing"
        else:
            remedy = "what it cannot do has to be an AdapterError that names it"
        raise AssertionError(f"the adapter {raised(error)}; {remedy}") from error
