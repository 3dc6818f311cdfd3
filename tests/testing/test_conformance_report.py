"""The report of the conformance suite, as a table and under pytest."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import gradparity
from gradparity.comparisons.cases.suite import LOSSES, OPS
from gradparity.testing.conformance import (
    AdapterConformance,
    CheckResult,
    CheckResults,
    check_adapter,
    checks,
    suite,
)

import broken_adapters as zoo

Sound = zoo.Sound
NAMES = list(checks("torch"))


class TestTheReport:
    @pytest.fixture(autouse=True)
    def _few_checks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dozen, for what is asked here does not depend on their number."""
        slow = ("op-", "loss-", "targets-", "branch-", "dtype-")
        kept = ("op-affine", "op-relu", "branch-several-uses", "dtype-float16")
        for name in NAMES:
            if name.startswith(slow) and name not in kept:
                monkeypatch.delitem(suite.CHECKS, name)

    def test_lists_everything_that_is_missing_not_the_first(self) -> None:
        with pytest.raises(AssertionError) as error:
            check_adapter(zoo.Incomplete())
        said = str(error.value)
        assert "the adapter 'sound' does not conform" in said
        for name in ("entry-point", "trace-complete", "op-affine", "branch-several-uses"):
            assert f"failed  {name} " in said
        assert "passed" not in said

    def test_says_the_same_once(self) -> None:
        """As it is where an adapter is begun: one error everywhere, with where it was raised."""

        class Begun(Sound):
            def computed(self, case: Any) -> Any:
                raise TypeError("call() takes 3 positional arguments")

        text = str(check_adapter(Begun(), on_fail=None))
        assert text.count("TypeError: call() takes 3 positional arguments") == 1
        assert re.search(
            r"failed +trace-complete .*\(test_conformance_report.py:\d+ in computed\)", text
        )
        assert re.search(r"\n +likewise trace-arrays, .*", text)
        text = str(check_adapter(zoo.NoTrace(), on_fail=None))
        assert text.count("run returned dict; return a gradparity.Trace") == 1
        assert "mismatch" not in text

    def test_where_there_is_no_adapter_asks_nothing_more(self) -> None:
        (result,) = check_adapter("nowhere", on_fail=None)
        assert (result.check, result.status) == ("protocol", "failed")
        assert "no adapter is called 'nowhere'" in result.message

    def test_warns_or_only_returns(self) -> None:
        with pytest.warns(UserWarning, match="'nobody' does not conform"):
            check_adapter(zoo.Unregistered(), on_fail="warn")
        seen: list[CheckResult] = []
        results = check_adapter(zoo.Unregistered(), on_fail=None, callback=seen.append)
        assert seen == results
        assert [r.check for r in results if not r.ok] == ["entry-point"]

    def test_an_expected_failure_is_one_with_its_reason(self) -> None:
        reasons = {"entry-point": "not installed here", "name": "wrongly expected"}
        results = check_adapter(zoo.Unregistered(), on_fail=None, expected_failed_checks=reasons)
        statuses = {r.check: r.status for r in results}
        assert statuses["entry-point"] == "xfail"
        assert statuses["name"] == "xpass"
        text = str(results)
        assert text.startswith("1 xpass, 1 xfail, 5 skipped, ")
        assert "passed, but was expected to fail: remove it" in text
        assert "expected: not installed here" in text
        with pytest.raises(AssertionError, match="xpass   name"):
            check_adapter(zoo.Unregistered(), expected_failed_checks=reasons)
        assert check_adapter(
            zoo.Unregistered(), expected_failed_checks={"entry-point": "not installed here"}
        )

    def test_of_nothing_is_empty(self) -> None:
        assert str(CheckResults()) == ""

    @pytest.mark.parametrize(
        ("how", "why"),
        [
            ({"on_fail": "shout"}, "on_fail is 'shout'; give 'raise', 'warn' or None"),
            (
                {"expected_failed_checks": {"op-relo": "x"}},
                "names unknown checks 'op-relo'; valid names: protocol, ",
            ),
            ({"expected_failed_checks": {"op-relu": " "}}, "give the reason"),
        ],
    )
    def test_a_wrong_question_is_refused(self, how: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            check_adapter(Sound(), **how)

    def test_an_adapter_that_is_not_there_fails_with_the_remedy(self) -> None:
        with pytest.raises(AssertionError, match=r"no adapter is called 'nowhere'; registered are"):
            checks("nowhere")["protocol"]()

    def test_what_the_adapter_raises_is_told_with_its_type(self) -> None:
        class Raising(Sound):
            def run(self, case: Any, **how: Any) -> Any:
                raise ZeroDivisionError("oh")

        with pytest.raises(AssertionError, match=r"raised ZeroDivisionError: oh .*AdapterError"):
            checks(Raising())["trace-complete"]()


FILE = """
import gradparity.core
from gradparity.adapters import AdapterError
from gradparity.testing import AdapterConformance
from broken_adapters import Sound, refusing

class WithoutGelu(refusing(gradparity.core.GELU())):
    pass

class TestMine(AdapterConformance):
    adapter = WithoutGelu
    expected_failed_checks = {expected}
"""


class TestTheClass:
    def _run(self, pytester: pytest.Pytester, expected: str, *options: str) -> Any:
        file = FILE.replace("{expected}", expected)
        pytester.syspathinsert(Path(__file__).parent)
        pytester.makepyfile(test_mine=file)
        names = "protocol or op-gelu or optional-vjp or entry-point"
        return pytester.runpytest(
            "-p", "no:cacheprovider", "-W", "error", "-rA", "-k", names, *options
        )

    def test_shows_every_check_as_a_test(self, pytester: pytest.Pytester) -> None:
        result = self._run(pytester, "{}")
        result.assert_outcomes(passed=2, failed=1, skipped=2)
        text = result.stdout.str()
        assert "FAILED test_mine.py::TestMine::test_conforms[entry-point]" in text
        assert "PASSED test_mine.py::TestMine::test_conforms[protocol]" in text
        assert "has no GELU" in text
        assert "optional, absent: vjp()" in text

    def test_takes_expected_failures_strictly(self, pytester: pytest.Pytester) -> None:
        known = "'entry-point': 'a class of a test'"
        self._run(pytester, f"{{{known}}}").assert_outcomes(passed=2, xfailed=1, skipped=2)
        result = self._run(pytester, f"{{{known}, 'protocol': 'hm'}}")
        result.assert_outcomes(passed=1, failed=1, xfailed=1, skipped=2)
        assert "[XPASS(strict)] hm" in result.stdout.str()

    def test_refuses_an_expected_failure_of_no_check(self, pytester: pytest.Pytester) -> None:
        result = self._run(pytester, "{'op-gelo': 'no erf'}")
        result.assert_outcomes(errors=1)
        assert "expected_failed_checks names unknown checks 'op-gelo'" in result.stdout.str()

    def test_of_what_is_not_installed_is_one_that_is_skipped(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            from gradparity.testing import AdapterConformance

            class Absent:
                name = "absent"

                def __init__(self):
                    import a_framework_that_is_not_there

            class TestAbsent(AdapterConformance):
                adapter = Absent
                expected_failed_checks = {"op-gelu": "no erf"}

            class TestUnknown(AdapterConformance):
                adapter = "nowhere"

            def test_fixture(gradparity):
                gradparity.check_adapter(Absent)
        """)
        result = pytester.runpytest("-rA", "-p", "no:cacheprovider")
        result.assert_outcomes(skipped=2, failed=1)
        result.stdout.fnmatch_lines([
            "E * AssertionError: no adapter is called 'nowhere'; registered are *",
            "skipped in 2 tests: absent: Absent cannot be loaded (ModuleNotFoundError*",
            "FAILED *TestUnknown::test_conforms[[]protocol[]]*",
        ])  # fmt: skip

    def test_itself_is_no_test(self) -> None:
        assert AdapterConformance.__test__ is False

        class Mine(AdapterConformance):
            adapter = "mine"

        class Base(AdapterConformance):
            __test__ = False

        assert Mine.__test__ is True
        assert Base.__test__ is False


def test_the_names_of_the_checks_need_no_framework() -> None:
    assert set(NAMES) >= {f"op-{name}" for name in OPS} | {f"loss-{name}" for name in LOSSES}
    assert gradparity.__name__ in sys.modules
