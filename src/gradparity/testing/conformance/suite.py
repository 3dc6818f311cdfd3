"""Every check of an adapter by its name, to be asked one by one."""

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

    Each raises AssertionError saying what was returned, what was expected and what to do, and
    `unittest.SkipTest` (pytest takes it as a skip) where the adapter leaves out what is optional,
    or refuses an op or a divergence by an AdapterError that names it.

    Parameters
    ----------
    adapter : a registered name, an adapter, or its class.

    >>> list(checks("torch"))[:4]
    ['protocol', 'entry-point', 'name', 'versions']
    """
    return _checks(Subject(adapter))


def askable(subject: Subject) -> dict[str, Callable[[], None]]:
    """The checks; the first alone, which says why, where there is no adapter to ask."""
    found = _checks(subject)
    return found if subject.unusable is None else dict([next(iter(found.items()))])


def _checks(subject: Subject) -> dict[str, Callable[[], None]]:
    return {name: partial(_ask, check, subject) for name, check in CHECKS.items()}


def _ask(check: Callable[[Subject], None], subject: Subject) -> None:
    """One check; whatever the adapter raises is its failure, told with its type."""
    if subject.unusable is not None:
        raise AssertionError(str(subject.unusable)) from subject.unusable
    try:
        check(subject)
    except (AssertionError, unittest.SkipTest):
        raise
    except AdapterError as error:
        raise AssertionError(
            f"the adapter {raised(error)}; an AdapterError has to name the op, the divergence, the "
            "precision or the device that is missing"
        ) from error
    except (Exception, SystemExit) as error:
        raise AssertionError(
            f"the adapter {raised(error)}; "
            "what it cannot do has to be an AdapterError that names it"
        ) from error
