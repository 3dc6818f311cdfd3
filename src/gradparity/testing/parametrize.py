"""One test per check of an implementation, under a name that pytest's -k can select."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest

from ..adapters.base import Adapter, AdapterError
from ..comparisons.report.report import Report
from ..core.arithmetic.precision import PRECISIONS
from ..core.arithmetic.received import received
from .own_network import OwnNetwork
from .run.outcome import NOT_INSTALLED, concluded, present, skip
from .run.settings import Settings, in_force
from .run.xfail import reasons, refuse_unknown, xfail

__all__ = ["Check", "parametrize_with_checks"]

Expected = Mapping[str, str] | Callable[[Any], Mapping[str, str]]


class Check:
    """One check of one implementation: ``check(implementation)`` passes or raises.

    Raises
    ------
    AssertionError : with the diagnosis.
    """

    def __init__(self, name: str, implementation: Any, run: Callable[[], Any]) -> None:
        self.name, self.implementation, self.run = name, implementation, run

    def __call__(self, implementation: Any) -> Any:
        __tracebackhide__ = True
        if implementation is not self.implementation:
            raise TypeError(
                f"the check {self.name!r} belongs to {_name(self.implementation)!r}, but was given "
                f"{implementation!r}; give it the implementation that came with it"
            )
        try:
            found = self.run()
        except AdapterError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            skip({_name(implementation): str(error)})  # merely not installed
        return concluded(found) if isinstance(found, Report) else found

    def __repr__(self) -> str:
        return f"<check {self.name}>"


def parametrize_with_checks(
    implementations: Sequence[Any],
    *,
    expected_failed_checks: Expected | None = None,
    xfail_strict: bool = True,
    dtypes: Sequence[str] | str | None = None,
    seed: int | None = None,
) -> pytest.MarkDecorator:
    """A decorator for a test of two arguments, ``implementation`` and ``check``.

    ::

        @parametrize_with_checks([OwnOp(forward, backward, reference=ReLU), OwnNetwork(net, mine)])
        def test_gradients(implementation, check):
            check(implementation)

    Every check becomes a test of its own, such as ``test_gradients[mine-case-float64]``.

    Parameters
    ----------
    implementations : `OwnOp`, `OwnNetwork`, adapters or their names, or anything that has a method
        ``checks()`` giving name -> function; a function fails by raising, or by returning a
        `Report` without parity.
    expected_failed_checks : name of a check -> why it is expected to fail; or a function from an
        implementation to such names.
    xfail_strict : an expected failure that passes fails.
    dtypes, seed : by default those of the command line or the configuration file.

    Raises
    ------
    ValueError : no implementation or check, or an expected failure that names no check.
    TypeError : an implementation without checks.
    """
    if isinstance(implementations, str) or not isinstance(implementations, Sequence):
        raise TypeError(f"implementations is {received(implementations)}; give a list of them")
    if not implementations:
        raise ValueError("parametrize_with_checks is given no implementation")
    given = {"dtypes": dtypes, "seed": seed}
    settings = in_force().changed(**{n: v for n, v in given.items() if v is not None})
    found = [_Found.of(each, settings, expected_failed_checks) for each in implementations]
    _refuse_unknown(found, settings, expected_failed_checks)
    params = []
    names = _distinct([_name(each.implementation) for each in found])
    for name, each in zip(names, found, strict=True):
        for check, run in each.checks.items():
            marks = xfail(each.expected.get(check), xfail_strict)
            one = Check(check, each.implementation, run)
            params.append(
                pytest.param(each.implementation, one, id=f"{name}-{_word(check)}", marks=marks)
            )
    return pytest.mark.parametrize(("implementation", "check"), params)


class _Found(NamedTuple):
    """An implementation, its checks, and the reasons of those that are expected to fail."""

    implementation: Any
    checks: dict[str, Callable[[], Any]]
    expected: dict[str, str]

    @classmethod
    def of(cls, given: Any, settings: Settings, expected: Expected | None) -> _Found:
        name = given.implementation if isinstance(given, OwnNetwork) else given
        chosen, absent = present([name], settings.required)
        if absent:  # one test that is skipped, so that it is seen
            return cls(given, {NOT_INSTALLED: partial(skip, absent)}, {})
        each = given if isinstance(given, OwnNetwork) else chosen[0]
        checks = _checks(each, settings)
        if not checks:
            raise ValueError(f"{_name(each)!r} has no check")
        if callable(expected):
            return cls(each, checks, reasons(expected(each), f"({_name(each)!r})"))
        return cls(each, checks, reasons({} if expected is None else expected))


def _checks(implementation: Any, settings: Settings) -> dict[str, Callable[[], Any]]:
    method = getattr(implementation, "checks", None)
    if isinstance(implementation, type) and method is not None:
        kind = implementation.__name__
        raise TypeError(f"{kind} is a class; give an instance, {kind}(...)")
    if callable(method):
        options = {"seed": settings.seed, **settings.options}
        options.pop("allow", None)
        takes = inspect.signature(method).parameters
        every = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        return dict(method(**{n: v for n, v in options.items() if every or n in takes}))
    if isinstance(implementation, Adapter):
        from .conformance import checks

        return dict(checks(implementation))
    raise TypeError(
        f"{implementation!r} has no checks; give an OwnOp, an OwnNetwork, an adapter or its name, "
        "or an object with a method checks() that gives name -> function"
    )


def _refuse_unknown(found: list[_Found], settings: Settings, expected: Expected | None) -> None:
    """Refuse an expected failure of a check that does not exist: it would never be noticed."""
    every = replace(settings, dtypes=tuple(PRECISIONS))
    for some in [[each] for each in found] if callable(expected) else [found]:
        known = {check for each in some for check in each.checks}
        unknown = {check for each in some for check in each.expected} - known
        if unknown and NOT_INSTALLED not in known:
            # It may be for a dtype that this run has left out.
            unknown -= {check for each in some for check in _checks(each.implementation, every)}
            refuse_unknown(unknown, sorted(known))


def _name(implementation: Any) -> str:
    if isinstance(implementation, str):
        return _word(implementation)
    name = getattr(implementation, "name", None) or type(implementation).__name__
    return _word(str(name))


def _word(name: str) -> str:
    """Replace the characters that -k or a shell cannot take.

    >>> _word("my relu (2)")
    'my_relu_2'
    """
    return re.sub(r"[^\w.+-]+", "_", name).strip("_")


def _distinct(names: list[str]) -> list[str]:
    """Number the names that occur twice.

    >>> _distinct(["a", "b", "a", "a-2"])
    ['a', 'b', 'a-3', 'a-2']
    """
    found: list[str] = []
    for name in names:
        numbered = (f"{name}-{i}" for i in count(2))
        free = (other for other in numbered if other not in names and other not in found)
        found.append(next(free) if name in found else name)
    return found
