"""Every check of an adapter as a test of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from ..run.xfail import reasons, xfail
from .subject import Subject
from .suite import CHECKS, askable

__all__ = ["AdapterConformance"]


class AdapterConformance:
    """Every check as a test of its own: ``test_conforms[op-relu]``.

    Where the framework is merely not installed there is one test, ``test_conforms[not_installed]``:
    it is skipped, or fails if ``--gradparity-require`` names the adapter.

    Write a subclass in a test file, and pytest runs it.  A check that is expected to fail has to
    (``xfail_strict``), and a name that is no check is an error.

        class TestMine(AdapterConformance):
            adapter = "mine"
            expected_failed_checks = {"op-tanh": "2 sigmoid(2z) - 1 cancels near 0"}
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
        expected = reasons(asked.expected_failed_checks, CHECKS)
        metafunc.parametrize(
            "conformance_check",
            [
                pytest.param(check, id=name, marks=xfail(expected.get(name), raises=AssertionError))
                for name, check in _asked(asked.adapter).items()
            ],
        )

    def test_conforms(self, conformance_check: Callable[[], None]) -> None:
        """The adapter keeps one promise."""
        __tracebackhide__ = True
        conformance_check()


def _asked(adapter: Any) -> dict[str, Callable[[], None]]:
    from ..run.presence import NOT_INSTALLED, skip
    from ..run.settings import in_force

    subject = Subject(adapter)
    if subject.absent and not set(subject.absent) & set(in_force().required):
        return {NOT_INSTALLED: partial(skip, subject.absent)}
    return askable(subject)
