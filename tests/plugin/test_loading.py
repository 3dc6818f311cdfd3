"""The cost of the plugin for projects without it, and the set-ups in which it works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

Project = Callable[..., Path]

ROOT = Path(__file__).parents[2]
CHECKED = """
    def test_right(gradparity):
        gradparity(NET, right)

    @parametrize_with_checks([OwnNetwork(NET, right), OwnNetwork(NET, wrong)])
    def test_checks(implementation, check):
        check(implementation)
"""


class TestWeight:
    """On a project that does not use it."""

    @pytest.mark.parametrize("options", [(), ("-p", "no:gradparity"), ("-n1",)])
    def test_nothing_is_imported(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        pytester.makeconftest("""
            import sys

            HEAVY = ("numpy", "torch", "jax", "rich", "click", "lazy_loader", "gradparity")

            def pytest_unconfigure():
                assert not [name for name in HEAVY if name in sys.modules]
        """)
        pytester.makepyfile("""
            import sys
            from conftest import HEAVY

            def test_weight():
                assert not [name for name in HEAVY if name in sys.modules]

            def test_failing():
                assert [] == [1]

            class TestOther:
                def setup_method(self):
                    raise OSError

                def test_setup(self):
                    pass
        """)
        result = pytester.runpytest_subprocess("-W", "error", "--strict-markers", *options)
        result.assert_outcomes(passed=1, failed=1, errors=1)
        assert "HEAVY" not in result.stderr.str()

    def test_the_entry_point_is_the_module_at_the_top(self) -> None:
        (point,) = (p for p in entry_points(group="pytest11") if p.name == "gradparity")
        assert point.value == "_gradparity_pytestplugin"


class TestWhere:
    @pytest.mark.sample(1)
    @pytest.mark.parametrize(
        "options",
        [
            ("--strict-markers", "--strict-config", "--import-mode=importlib", "--assert=plain"),
            ("-p", "no:cacheprovider", "-q", "-q", "--tb=native"),
            ("-n2", "-W", "error", "--tb=line"),
        ],
    )
    def test_it_works(
        self, pytester: pytest.Pytester, project: Project, options: tuple[str, ...]
    ) -> None:
        project(CHECKED)
        result = pytester.runpytest_subprocess(*options)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["*= gradient parity =*"])
        assert "mismatch in grad W1 at node 'z1'" in result.stdout.str()
        assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()

    def test_without_a_terminal(self, pytester: pytest.Pytester, project: Project) -> None:
        project(CHECKED)
        result = pytester.runpytest_subprocess("-p", "no:terminal", "--gradparity-report=r.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert (pytester.path / "r.json").exists()
        assert result.stderr.str() == ""

    def test_turned_off_the_checks_still_work(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(CHECKED)
        result = pytester.runpytest_subprocess("-p", "no:gradparity")
        result.assert_outcomes(passed=2, failed=2, errors=1)
        result.stdout.fnmatch_lines([
            "E*fixture 'gradparity' not found",
            "E       AssertionError: mismatch in grad W1 at node 'z1': wrong, float64, case 'case'",
        ])  # fmt: skip
        assert "gradient parity ==" not in result.stdout.str()

    def test_twice_in_one_process(self, pytester: pytest.Pytester, project: Project) -> None:
        project(CHECKED)
        pytester.makepyfile(
            main="""
            import gradparity, pytest
            import _gradparity_pytestplugin as plugin

            codes = [pytest.main(["-W", "error", "test_it.py"]) for _ in range(2)]
            assert codes == [1, 1], codes
            assert plugin.configs == [] and plugin.found is None
        """
        )
        result = pytester.runpython(pytester.path / "main.py")
        assert result.ret == 0, result.stderr.str()
        assert result.stdout.str().count("5 tests, 6 runs") == 2

    def test_inside_a_test(self, pytester: pytest.Pytester, project: Project) -> None:
        """The findings of an inner run are its own."""
        project("""
            pytest_plugins = "pytester"

            def test_outer(gradparity, pytester):
                gradparity(NET, right)
                pytester.makepyfile('''
                    import gradparity as gp
                    from gradparity.core import L2, Affine

                    def test_inner(gradparity):
                        gradparity(gp.layered([Affine(3, 2)], L2()), gp.backprop)
                ''')
                pytester.runpytest().stdout.fnmatch_lines(["1 test, 2 runs, *"])
        """)
        result = pytester.runpytest_subprocess("-p", "pytester")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["1 test, 2 runs, 36 quantities: *"])

    def test_a_failing_setup_is_told_as_what_it_is(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            @pytest.fixture
            def checked(gradparity):
                return gradparity(NET, wrong)

            def test_setup(checked):
                pass
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["E*mismatch in grad W1*", "*::test_setup (error): mismatch*"])


@pytest.mark.slow
def test_a_wheel_has_the_plugin_and_works_without_warnings(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"_gradparity_pytestplugin.py", "gradparity/testing/__init__.pyi"} <= set(names)
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    test = tmp_path / "test_it.py"
    test.write_text(
        dedent("""
            import gradparity as gp
            from gradparity.core import L2, Affine

            def test_right(gradparity):
                gradparity(gp.layered([Affine(3, 2)], L2()), gp.backprop)

            def test_where():
                assert "site/gradparity" in gp.__file__
        """)
    )
    imported_before = "import gradparity, pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
    for start in (["-m", "pytest"], ["-c", imported_before]):
        run = subprocess.run(
            [sys.executable, "-W", "error", *start, "-W", "error", test],
            env={**os.environ, "PYTHONPATH": str(site)},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "2 passed" in run.stdout, run.stdout + run.stderr
