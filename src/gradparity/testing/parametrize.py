"""One test per check of an implementation, under a name that pytest's -k can choose."""

from __future__ import annotations

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
from .checker import accepted
from .own_network import OwnNetwork
from .run.failure import concluded
from .run.presence import NOT_INSTALLED, present, skip
from .run.settings import PARSERS, Settings, in_force
from .run.xfail import reasons, xfail

__all__ = ["Check", "parametrize_with_checks"]

Expected = Mapping[str, str] | Callable[[Any], Mapping[str, str]]


class Check:
    """One check of one implementation: ``check(implementation)`` passes, or says what is wrong.

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
                f"the check {self.name!r} is of {_name(self.implementation)!r}, and was given "
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
        raise TypeError(f"implementations is {implementations!r}; give a list of them")
    if not implementations:
        raise ValueError("parametrize_with_checks is given no implementation")
    settings = _settings(dtypes, seed)
    found = [_Found.of(given, settings, expected_failed_checks) for given in implementations]
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
    """An implementation, its checks, and which of them are expected to fail, and why."""

    implementation: Any
    checks: dict[str, Callable[[], Any]]
    expected: dict[str, str]
    absent: bool = False

    @classmethod
    def of(cls, given: Any, settings: Settings, expected: Expected | None) -> _Found:
        name = given.implementation if isinstance(given, OwnNetwork) else given
        chosen, absent = present([name], settings.required)
        if absent:  # one test that is skipped, so that it is seen
            return cls(given, {NOT_INSTALLED: partial(skip, absent)}, {}, absent=True)
        each = given if isinstance(given, OwnNetwork) else chosen[0]
        checks = _checks(each, settings)
        if not checks:
            raise ValueError(f"{_name(each)!r} has no check")
        return cls(each, checks, _reasons(each, expected))


def _reasons(implementation: Any, expected: Expected | None) -> dict[str, str]:
    if not callable(expected):
        return reasons(expected)
    found = expected(implementation)
    if not isinstance(found, Mapping):
        raise TypeError(
            f"expected_failed_checks gave {found!r} for {_name(implementation)!r}; return a dict "
            "of the name of a check -> why it fails, {} where none is expected to"
        )
    return reasons(found)


def _checks(implementation: Any, settings: Settings) -> dict[str, Callable[[], Any]]:
    options = {"seed": settings.seed, **settings.options}
    options.pop("allow", None)
    method = getattr(implementation, "checks", None)
    if isinstance(implementation, type) and method is not None:
        kind = implementation.__name__
        raise TypeError(f"{kind} is a class; give an instance, {kind}(...)")
    if callable(method):
        return dict(method(**accepted(method, options)))
    if isinstance(implementation, Adapter):
        from .conformance import checks

        return dict(checks(implementation, **accepted(checks, options)))
    raise TypeError(
        f"{implementation!r} has no checks; give an OwnOp, an OwnNetwork, an adapter or its name, "
        "or an object with a method checks() that gives name -> function"
    )


def _refuse_unknown(found: list[_Found], settings: Settings, expected: Expected | None) -> None:
    """An expected failure of a check that there is not would never be noticed."""
    together = [found] if not callable(expected) else [[each] for each in found]
    for some in together:
        known = {check for each in some for check in each.checks}
        unknown = {check for each in some for check in each.expected} - known
        if not unknown or any(each.absent for each in some):
            continue
        # It may be of a dtype that this run has left out.
        every = replace(settings, dtypes=tuple(PRECISIONS))
        unknown -= {check for each in some for check in _checks(each.implementation, every)}
        if unknown:
            raise ValueError(
                f"expected_failed_checks names {', '.join(map(repr, sorted(unknown)))}, "
                f"and there is no such check; there are {', '.join(sorted(known))}"
            )


def _settings(dtypes: Any, seed: Any) -> Settings:
    """Those in force, and over them what is given."""
    given = {"dtypes": dtypes, "seed": seed}
    return replace(in_force(), **{n: PARSERS[n](v) for n, v in given.items() if v is not None})


def _name(implementation: Any) -> str:
    if isinstance(implementation, str):
        return _word(implementation)
    name = getattr(implementation, "name", None) or type(implementation).__name__
    return _word(str(name))


def _word(name: str) -> str:
    """Without what -k and a shell would stumble over.

    >>> _word("my relu (2)")
    'my_relu_2'
    """
    return re.sub(r"[^\w.+-]+", "_", name).strip("_")


def _distinct(names: list[str]) -> list[str]:
    """
    >>> _distinct(["a", "b", "a", "a-2"])
    ['a', 'b', 'a-3', 'a-2']
    """
    found: list[str] = []
    for name in names:
        numbered = (f"{name}-{i}" for i in count(2))
        free = (other for other in numbered if other not in names and other not in found)
        found.append(next(free) if name in found else name)
    return found
