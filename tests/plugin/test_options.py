"""Options and ini keys: where they may stand, and what is refused before the first test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., Path]

SEEN = """
def test_seen(gradparity):
    settings = gradparity.settings
    assert (settings.dtypes, settings.seed) == (("float32", "tf32"), 11)
"""
INI = {
    "pytest.ini": "[pytest]\ngradparity_dtypes = float32, tf32\ngradparity_seed = 11\n",
    "tox.ini": "[pytest]\ngradparity_dtypes =\n    float32\n    tf32\ngradparity_seed = 11\n",
    "setup.cfg": "[tool:pytest]\ngradparity_dtypes = float32 tf32\ngradparity_seed = 11\n",
    "pyproject.toml": (
        '[tool.pytest.ini_options]\ngradparity_dtypes = "float32, tf32"\ngradparity_seed = 11\n'
    ),
}
NATIVE = '[tool.pytest]\ngradparity_dtypes = "float32,tf32"\ngradparity_seed = "11"\n'


class TestIni:
    @pytest.mark.parametrize("name", INI)
    def test_of_every_style(self, pytester: pytest.Pytester, project: Project, name: str) -> None:
        project(SEEN)
        pytester.path.joinpath(name).write_text(INI[name], encoding="utf-8")
        pytester.runpytest("--strict-config").assert_outcomes(passed=1)

    @pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="native TOML came with pytest 9")
    def test_native(self, pytester: pytest.Pytester, project: Project) -> None:
        project(SEEN)
        pytester.path.joinpath("pyproject.toml").write_text(NATIVE, encoding="utf-8")
        pytester.runpytest("--strict-config").assert_outcomes(passed=1)

    def test_the_command_line_wins(self, pytester: pytest.Pytester, project: Project) -> None:
        project(SEEN)
        pytester.makeini("[pytest]\ngradparity_dtypes = float64\ngradparity_seed = 3\n")
        options = ("--gradparity-dtypes=float32,tf32", "--gradparity-seed", "11")
        pytester.runpytest(*options).assert_outcomes(passed=1)

    def test_a_report_is_written_beside_the_file(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_right(gradparity): gradparity(NET, right)")
        pytester.makeini("[pytest]\ngradparity_report = found.json\n")
        below = pytester.mkdir("below")
        pytester.chdir()
        pytester.runpytest(f"--rootdir={pytester.path}", "--basetemp", str(below / "tmp"))
        assert json.loads((pytester.path / "found.json").read_text())["schema"]

    def test_an_empty_option_unsets_it(self, pytester: pytest.Pytester, project: Project) -> None:
        project("def test_none(gradparity): assert gradparity.settings.dtypes is None")
        pytester.makeini("[pytest]\ngradparity_dtypes = float64\n")
        pytester.runpytest("--gradparity-dtypes=").assert_outcomes(passed=1)


class TestRefused:
    @pytest.mark.parametrize(
        ("option", "said"),
        [
            ("--gradparity-adapters=tensorflow", "unknown name 'tensorflow' in adapters; valid*"),
            ("--gradparity-adapters=,", "adapters is empty; give names, such as *"),
            ("--gradparity-dtypes=float64,int8", "unknown name 'int8' in dtypes; valid names*"),
            ("--gradparity-seed=-3", "seed is '-3'; give a whole number*"),
            ("--gradparity-seed=1.5", "seed is '1.5'; give a whole number*"),
            ("--gradparity-require=mxnet", "unknown name 'mxnet' in adapters; valid*"),
            ("--gradparity-report=found.xml", "'found.xml' ends in neither .json nor .html*"),
            ("--gradparity-report=there/is/none.json", "cannot write 'there/is/none.json' (No su*"),
            ("--gradparity-report=folder.json", "cannot write 'folder.json' (it is a folder)*"),
        ],
    )
    def test_before_the_first_test(
        self, pytester: pytest.Pytester, project: Project, option: str, said: str
    ) -> None:
        project("def test_never(): raise SystemExit('it ran')")
        pytester.mkdir("folder.json")
        result = pytester.runpytest(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {option.split('=')[0]}: {said}"])
        assert "it ran" not in result.stdout.str()

    def test_in_the_file_too_and_it_is_named(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_never(): raise SystemExit('it ran')")
        pytester.makeini("[pytest]\ngradparity_seed = many\n")
        result = pytester.runpytest()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: tox.ini: gradparity_seed: seed is 'many'; give *"])
        assert pytester.runpytest("--help").ret == pytest.ExitCode.OK

    def test_required_but_not_chosen(self, pytester: pytest.Pytester, project: Project) -> None:
        project("def test_never(): raise SystemExit('it ran')")
        result = pytester.runpytest("--gradparity-adapters=jax", "--gradparity-require=torch")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --gradparity-require: 'torch' is not among*jax*"])


def test_help_names_every_option_and_ini_key(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest("--help").stdout.str()
    for name in ("adapters", "dtypes", "require", "report", "seed"):
        assert f"--gradparity-{name}=" in text
        assert f"gradparity_{name} (string)" in text


def test_the_marker_is_listed(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--markers", "--strict-markers")
    listed = "@pytest.mark.gradparity(adapters=, dtypes=, allow=, seed=, strict=):*"
    result.stdout.fnmatch_lines([listed])


@pytest.mark.usefixtures("adapters")
class TestAdapters:
    """In a process of their own: which adapters there are is found out once per process."""

    def test_one_merely_absent_is_skipped_and_told(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def test_each(gradparity_adapter, gradparity):
                assert gradparity(NET, gradparity_adapter, dtypes=["float64"])

            def test_all(gradparity):
                report = gradparity(NET, dtypes=["float64"])
                assert {run.adapter for run in report.runs} == {"fake"}
                assert list(report.skipped) == ["absent"]

            @pytest.mark.gradparity(adapters=["absent"])
            def test_none(gradparity):
                gradparity(NET)

            @pytest.mark.gradparity(adapters="fake")
            def test_marked(gradparity_adapter):
                assert gradparity_adapter.name == "fake"

            def test_op(gradparity):
                gradparity.check_op(abs, "absent", reference=ReLU())

            @parametrize_with_checks(["absent", OwnNetwork(NET, "fake"), OwnNetwork(NET, "absent")],
                                     expected_failed_checks={"not-known-yet": "it is not here"})
            def test_checks(implementation, check):
                check(implementation)
        """)
        result = pytester.runpytest_subprocess(
            "--gradparity-adapters=fake,absent", "--gradparity-report=r.json", "-rs", "-v",
        )  # fmt: skip
        result.assert_outcomes(passed=5, skipped=5)
        result.stdout.fnmatch_lines([
            "*::test_each[[]fake[]] PASSED*",
            "*::test_each[[]absent[]] SKIPPED*",
            "*::test_checks[[]absent-not_installed[]] SKIPPED*",
            "*::test_checks[[]absent-2-not_installed[]] SKIPPED*",
            "4 tests, 4 runs, *",
            "skipped in 6 tests: absent: the adapter 'absent' is not usable (No module named*",
            "every report is in r.json",
            "SKIPPED [[]1[]] test_it.py:*: the adapter 'absent' is not usable (No module*",
        ])  # fmt: skip
        tests = json.loads((pytester.path / "r.json").read_text())["tests"]
        outcomes = {test["nodeid"].split("::")[1]: test["outcome"] for test in tests}
        assert outcomes["test_each[absent]"] == outcomes["test_none"] == "skipped"
        assert outcomes["test_each[fake]"] == "passed"

    def test_a_required_one_stops_the_run(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_unrelated(): pass")
        for options in (
            ("--gradparity-require=fake,absent",),
            ("-ogradparity_require=absent", "-n2"),
        ):
            result = pytester.runpytest_subprocess(*options)
            assert result.ret == pytest.ExitCode.USAGE_ERROR
            result.stderr.fnmatch_lines(
                ["ERROR: --gradparity-require: the adapter 'absent' is not usable*; install *"]
            )

    def test_a_required_one_that_is_there_changes_nothing(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("def test_each(gradparity_adapter): assert gradparity_adapter.name == 'fake'")
        options = ("--gradparity-require=fake", "--gradparity-adapters=fake")
        pytester.runpytest_subprocess(*options).assert_outcomes(passed=1)

    def test_a_broken_one_is_no_skip(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def test_call(gradparity):
                gradparity(NET)

            def test_each(gradparity_adapter):
                pass
        """)
        result = pytester.runpytest_subprocess("--gradparity-adapters=broken")
        result.assert_outcomes(failed=1, errors=1)
        result.stdout.fnmatch_lines(["E*the adapter 'broken' is not usable (no such device)*"])


STRICT = """
def test_seen(gradparity):
    assert gradparity.settings.strict is True
    assert gradparity.settings.options["strict"] is True
"""


class TestStrict:
    def test_of_the_command_line(self, pytester: pytest.Pytester, project: Project) -> None:
        project(STRICT)
        pytester.runpytest("--gradparity-strict", ".").assert_outcomes(passed=1)

    def test_of_the_file(self, pytester: pytest.Pytester, project: Project) -> None:
        project(STRICT)
        pytester.makeini("[pytest]\ngradparity_strict = true\n")
        pytester.runpytest().assert_outcomes(passed=1)

    def test_of_the_marker(self, pytester: pytest.Pytester, project: Project) -> None:
        project("import pytest\n@pytest.mark.gradparity(strict=True)" + STRICT)
        pytester.makeini("[pytest]\ngradparity_strict = false\n")
        pytester.runpytest().assert_outcomes(passed=1)

    def test_a_bad_value(self, pytester: pytest.Pytester, project: Project) -> None:
        project(STRICT)
        pytester.makeini("[pytest]\ngradparity_strict = maybe\n")
        result = pytester.runpytest()
        result.stderr.fnmatch_lines(["*gradparity_strict: strict is 'maybe'; give true or false"])
