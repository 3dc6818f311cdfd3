"""Reports collected from tests: the file, the summary, JUnit; with and without xdist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from gradparity.testing.summary import add

Project = Callable[..., Path]

MIXED = """
    import numpy as np

    @pytest.fixture
    def found(gradparity):
        return gradparity(NET, right, dtypes=["float64"])

    def test_in_setup(found):
        assert found

    def test_right(gradparity):
        gradparity(NET, right)
        gradparity(gp.Case.random(NET, name="second"), right)

    def test_wrong(gradparity):
        gradparity(NET, wrong)

    def test_not_finite(gradparity):
        def nan(case):
            trace = gp.backprop(case)
            trace.grad["b2"] = np.full(2, np.nan, dtype=case.dtype)
            return trace
        gradparity(NET, nan)

    @pytest.mark.xfail(reason="known", strict=True)
    def test_known(gradparity):
        gradparity(NET, wrong)

    @pytest.fixture
    def torn(gradparity):
        yield gradparity
        raise OSError("while cleaning up")

    def test_torn(torn):
        torn(NET, right)

    @pytest.mark.parametrize("batch", range(6))
    def test_batch(gradparity, batch):
        gradparity(gp.Case.random(NET, batch=batch + 1), right)

    @parametrize_with_checks([OwnNetwork(NET, right), OwnNetwork(NET, wrong)])
    def test_checks(implementation, check):
        check(implementation)

    def test_without():
        pass
"""
OUTCOMES = {"passed": 12, "failed": 4, "xfailed": 1, "errors": 1}


class Ran(NamedTuple):
    """The output and files of a run of `MIXED`."""

    result: pytest.RunResult
    report: bytes
    junit: ElementTree.ElementTree


@pytest.fixture(scope="module")
def of_mixed(tmp_path_factory: pytest.TempPathFactory, prelude: str) -> list[Ran]:
    """`MIXED` run once in one process, and twice in two."""

    def run(option: str) -> Ran:
        folder = tmp_path_factory.mktemp("mixed")
        (folder / "test_it.py").write_text(prelude + dedent(MIXED), encoding="utf-8")
        written = ["--gradparity-report=r.json", "--junitxml=j.xml"]
        here = {k: v for k, v in os.environ.items() if k not in ("CI", "BUILD_NUMBER")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", option, *written], cwd=folder, env=here, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        lines = done.stdout.splitlines(), done.stderr.splitlines()
        result = pytest.RunResult(done.returncode, *lines, duration=0)
        report = (folder / "r.json").read_bytes()
        return Ran(result, report, ElementTree.parse(folder / "j.xml"))

    return [run(option) for option in ("-n0", "-n2", "-n2")]


class TestFile:
    def test_is_the_same_twice_and_under_xdist(self, of_mixed: list[Ran]) -> None:
        for ran in of_mixed:
            ran.result.assert_outcomes(**OUTCOMES)
        assert len({ran.report for ran in of_mixed}) == 1

    def test_says_what_every_test_found(self, pytester: pytest.Pytester, project: Project) -> None:
        project(MIXED)
        pytester.runpytest("--gradparity-report=r.json")
        text = (pytester.path / "r.json").read_text(encoding="utf-8")
        document = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert document["schema"] == "gradparity/pytest/1"
        assert list(document) == ["schema", "exit_status", "unfinished", "tests"]
        assert (document["exit_status"], document["unfinished"]) == (1, [])
        nodeids = [test["nodeid"] for test in document["tests"]]
        assert nodeids == sorted(nodeids)
        assert "test_it.py::test_without" not in nodeids
        tests = {test["nodeid"].partition("::")[2]: test for test in document["tests"]}
        outcomes = {name: test["outcome"] for name, test in tests.items()}
        assert outcomes["test_right"] == outcomes["test_in_setup"] == "passed"
        assert outcomes["test_wrong"] == outcomes["test_checks[wrong-case-float32]"] == "failed"
        assert outcomes["test_known"] == "xfailed"
        assert outcomes["test_torn"] == "error"
        assert [len(tests[n]["reports"]) for n in ("test_right", "test_in_setup")] == [2, 1]
        (report,) = tests["test_wrong"]["reports"]
        assert report["schema"] == "gradparity/report/1"
        assert [run["verdict"] for run in report["runs"]] == ["mismatch", "mismatch"]

    def test_as_a_page_it_tells_every_test_and_is_the_same_under_xdist(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(MIXED)
        written = []
        for how, option in ((pytester.runpytest_inprocess, "-n0"), (pytester.runpytest, "-n2")):
            result = how("--gradparity-report=r.html", option)
            result.assert_outcomes(**OUTCOMES)
            written.append((pytester.path / "r.html").read_text(encoding="utf-8"))
        assert written[0] == written[1]
        page = written[0]
        assert page.startswith("<!doctype html>")
        assert "<h1>No parity</h1>" in page
        assert "Xfailed: test_it.py::test_known." in page
        assert "test_it.py::test_right, check 2: second" in page
        assert "test_it.py::test_checks[wrong-case-float32]: case" in page
        assert "test_without" not in page

    def test_a_page_says_what_it_lacks(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def test_wrong(gradparity): gradparity(NET, wrong)
            def test_later(gradparity): gradparity(NET, right)
        """)
        pytester.runpytest("-x", "--gradparity-report=r.html")
        page = (pytester.path / "r.html").read_text(encoding="utf-8")
        assert "Without a result: test_it.py::test_later. This report lacks them." in page

    def test_is_written_where_nothing_was_checked_but_not_when_collecting(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_without(): pass")
        path = pytester.path / "r.json"
        pytester.runpytest("--gradparity-report=r.json", "--co")
        assert not path.exists()
        result = pytester.runpytest("--gradparity-report=r.json")
        assert json.loads(path.read_text())["tests"] == []
        assert "gradient parity" not in result.stdout.str()

    def test_names_the_test_whose_worker_died(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            import os

            def test_right(gradparity): gradparity(NET, right)

            def test_dies(gradparity):
                gradparity(NET, right)
                os._exit(1)
        """)
        result = pytester.runpytest_subprocess("--gradparity-report=r.json", "-n2")
        document = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
        assert document["unfinished"] == ["test_it.py::test_dies"]
        assert [test["nodeid"] for test in document["tests"]] == ["test_it.py::test_right"]
        result.stdout.fnmatch_lines(
            ["every report is in r.json, except those of 1 that did not finish"]
        )

    @pytest.mark.sample(1)
    @pytest.mark.parametrize("options", [(), ("-n1",)])
    def test_names_what_was_not_reached(
        self, pytester: pytest.Pytester, project: Project, options: tuple[str, ...]
    ) -> None:
        project("""
            def test_wrong(gradparity): gradparity(NET, wrong)
            def test_later(gradparity): gradparity(NET, right)
            def test_last(): pass
        """)
        chosen = ("--gradparity-report=r.json", "-x", "-k", "not last")
        pytester.runpytest_subprocess(*chosen, *options)
        document = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
        assert document["exit_status"] == (2 if options else 1)  # as pytest-xdist has it
        assert document["unfinished"] == ["test_it.py::test_later"]

    @pytest.mark.parametrize("options", [(), ("-n1",)])
    def test_names_what_could_not_be_collected(
        self, pytester: pytest.Pytester, project: Project, options: tuple[str, ...]
    ) -> None:
        project("def test_right(gradparity): gradparity(NET, right)")
        pytester.makepyfile(test_other="import nowhere")
        chosen = ("--gradparity-report=r.json", "--continue-on-collection-errors")
        pytester.runpytest_subprocess(*chosen, *options)
        document = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
        assert (document["exit_status"], document["unfinished"]) == (1, ["test_other.py"])
        assert len(document["tests"]) == 1

    @pytest.mark.parametrize("options", [(), ("-n1",)])
    def test_says_that_pytest_itself_failed(
        self, pytester: pytest.Pytester, project: Project, options: tuple[str, ...]
    ) -> None:
        project("""
            import numpy as np

            def test_wrong(gradparity): gradparity(NET, wrong)
            def test_later(gradparity, record_property):
                record_property("no text", np.float64(1))
        """)
        pytester.makeconftest("""
            def pytest_runtest_logreport(report):
                if "later" in report.nodeid:
                    raise KeyError(report.nodeid)
        """)
        pytester.runpytest_subprocess("--gradparity-report=r.json", *options)
        document = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
        assert document["exit_status"] == 3
        assert document["unfinished"] == ["test_it.py::test_later"]

    def test_takes_the_place_of_the_old_one_at_once(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_right(gradparity): gradparity(NET, right)")
        path = pytester.path / "r.json"
        path.write_text("old")
        pytester.runpytest("--gradparity-report", str(path))
        assert len(json.loads(path.read_text())["tests"]) == 1
        assert [p.name for p in pytester.path.glob("*r.json*")] == ["r.json"]


class TestSummary:
    def test_counts_and_tells_the_worst(self, of_mixed: list[Ran]) -> None:
        lines = [
            "*= gradient parity =*",
            "16 tests, 29 runs, 522 quantities: * exact, * rounding, * mismatch",
            "test_it.py::test_not_finite: mismatch in grad b2, nan, float64, *: nan u, bound * u",
            "... and 3 more runs without parity",
        ]
        for ran in of_mixed:
            ran.result.stdout.fnmatch_lines(lines)

    def test_of_parity_says_how_near_it_was(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_right(gradparity): gradparity(NET, right)")
        pytester.runpytest().stdout.fnmatch_lines([
            "1 test, 2 runs, 36 quantities: *",
            "nearest to its bound: *, right, float*, case 'case', at *% (test_it.py::test_right)",
        ])  # fmt: skip

    def test_a_name_stays_on_its_line(self, pytester: pytest.Pytester, project: Project) -> None:
        project(r"""
            def test_named(gradparity):
                mine = lambda case: gp.backprop(case)
                mine.__name__ = "two\nlines \x1b[31mred"
                gradparity(NET, mine)
        """)
        text = pytester.runpytest("--color=no").stdout.str()
        assert r", two\nlines \x1b[31mred, float" in text
        assert "\x1b" not in text

    def test_is_silent_where_nothing_ran(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_one(): pass")
        assert "gradient parity" not in pytester.runpytest().stdout.str()

    def test_the_header_has_the_versions(self, pytester: pytest.Pytester) -> None:
        result = pytester.runpytest()
        result.stdout.fnmatch_lines(["gradparity: *.* (numpy *.*, torch *, jax *)"])


def test_junit_has_plain_properties(of_mixed: list[Ran]) -> None:
    for ran in of_mixed:
        found = {
            case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
            for case in ran.junit.iter("testcase")
        }
        assert found["test_without"] == {}
        wrong = found["test_wrong"]
        assert {name.partition(".")[0] for name in wrong} == {"gradparity"}
        assert wrong["gradparity.parity"] == "no"
        assert wrong["gradparity.where"] == "case, wrong, float64: grad W1"
        assert wrong["gradparity.dtypes"] == "float64,float32"
        assert float(wrong["gradparity.error_u"]) > float(wrong["gradparity.bound_u"]) > 0
        right = found["test_right"]
        assert (right["gradparity.parity"], right["gradparity.runs"]) == ("yes", "4")


class TestRunAgain:
    """As pytest-rerunfailures and subtests send it."""

    def sent(self, tests: dict[str, Any], outcome: str, phase: str = "call", rows: int = 1) -> None:
        report = SimpleNamespace(
            nodeid="t", when=phase, outcome=outcome, failed=outcome == "failed", skipped=False
        )
        text = {"rows": [{}] * rows, "skipped": {}, "reports": []}
        add(tests, report, json.dumps(text) if rows else None)

    def test_what_is_run_again_is_forgotten(self) -> None:
        tests: dict[str, Any] = {}
        self.sent(tests, "rerun")
        assert tests == {}
        self.sent(tests, "passed")
        assert (tests["t"]["outcome"], len(tests["t"]["sent"])) == ("passed", 1)

    def test_parts_of_one_test_are_together(self) -> None:
        tests: dict[str, Any] = {}
        self.sent(tests, "failed")
        self.sent(tests, "passed")
        self.sent(tests, "passed", "teardown", rows=0)
        assert (tests["t"]["outcome"], len(tests["t"]["sent"])) == ("failed", 2)
