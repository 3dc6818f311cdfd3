"""Every check of an adapter as a separate test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from ..run.xfail import reasons, refuse_unknown, xfail
from .subject import Subject
from .suite import CHECKS, askable

__all__ = ["AdapterConformance"]


class AdapterConformance:
    """Every check as a separate test: ``test_conforms[op-relu]``.

    If the framework is merely not installed there is one test, ``test_conforms[not_installed]``:
    it is skipped, or fails if ``--gradparity-require`` names the adapter.

    Write a subclass in a test file, and pytest runs it.  A check that is expected to fail must fail
    (``xfail_strict``), and the name of an unknown check is an error.

        class TestMine(AdapterConformance):
            adapter = "mine"
            expected_failed_checks = {"op-gelu": "erf is a polynomial of degree 5"}
    """

    __test__ = False
    adapter: ClassVar[Any] = ""
    expected_failed_checks: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__test__" not in vars(cls):
            cls.__test__ = True  # pytest would inherit False

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make one test per check and mark expected failures; called by pytest."""
        import pytest

        if "conformance_check" not in metafunc.fixturenames:
            return
        asked = type(self)
        if not asked.adapter:
            raise ValueError(f"{asked.__name__}.adapter is {asked.adapter!r}; name your adapter")
        expected = reasons(asked.expected_failed_checks)
        refuse_unknown(expected, CHECKS)
        metafunc.parametrize(
            "conformance_check",
            [
                pytest.param(check, id=name, marks=xfail(expected.get(name), raises=AssertionError))
                for name, check in _asked(asked.adapter).items()
            ],
        )

    def test_conforms(self, conformance_check: Callable[[], None]) -> None:
        """Run one check."""
        __tracebackhide__ = True
        conformance_check()


def _asked(adapter: Any) -> dict[str, Callable[[], None]]:
    from ..run.outcome import NOT_INSTALLED, skip
    from ..run.settings import in_force

    subject = Subject(adapter)
    if absent := subject.absent(in_force().required):
        return {NOT_INSTALLED: partial(skip, absent)}
    return askable(subject)
