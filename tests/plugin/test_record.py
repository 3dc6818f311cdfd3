"""The fixture's `record`: a PyTorch step watched in a test, which fails without parity."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
#: Loaded for good, as in conftest.py.
import_module("gradparity.adapters.torch.record.observer")
import_module("gradparity.adapters.torch.record.leaves")

Project = Callable[..., Path]

STEP = """
import torch

def step(factor=1.0, dtype=torch.float64):
    torch.manual_seed(0)
    w = torch.randn(3, 4, dtype=dtype, requires_grad=True)
    h = torch.tanh(w)
    if factor != 1.0:
        h.register_hook(lambda g: print("the fault has fired") or g * factor)
    (h @ torch.randn(4, 2, dtype=dtype)).square().mean().backward()
"""

MIXED = """
    def test_right(gradparity):
        with gradparity.record() as recording:
            step()
        assert recording.coverage == 1.0 and recording.closed

    def test_wrong(gradparity):
        with gradparity.record(name="training"):
            step(1.01)

    def test_two(gradparity):
        with gradparity.record(name="one"):
            step()
        with gradparity.record(name="two"):
            step(dtype=torch.float32)
"""


class TestVerdict:
    def test_right_and_wrong_steps(self, pytester: pytest.Pytester, project: Project) -> None:
        project(STEP, MIXED)
        result = pytester.runpytest("-W", "error")
        result.assert_outcomes(passed=2, failed=1)
        out = result.stdout.str()
        assert "the fault has fired" in out
        result.stdout.fnmatch_lines(["E       AssertionError: convention in *case 'training'"])
        result.stdout.fnmatch_lines(["*= gradient parity =*", "3 tests, 4 runs, *"])
        for own in ("concluded", "__exit__", "contextlib"):
            assert own not in out

    def test_an_error_of_the_body_is_shown_alone(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(STEP, """
            def test_raises(gradparity):
                with gradparity.record():
                    step(1.01)
                    raise OSError("no disk")

            def test_skips(gradparity):
                with gradparity.record():
                    step(1.01)
                    pytest.skip("not here")
        """)  # fmt: skip
        result = pytester.runpytest()
        result.assert_outcomes(failed=1, skipped=1)
        assert "OSError: no disk" in result.stdout.str()
        assert "mismatch" not in result.stdout.str()

    def test_nothing_differentiated_fails(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            import torch

            def test_nothing(gradparity):
                with gradparity.record():
                    torch.ones(3).exp()
        """)
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E*RuntimeError: nothing was differentiated*"])


class TestSettings:
    def test_those_of_the_test_hold_unless_others_are_given(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(STEP, """
            def test_default(gradparity):
                with gradparity.record() as recording:
                    step()
                assert recording.strict and recording.allow == ()

            def test_given(gradparity):
                with gradparity.record(strict=False) as recording:
                    step()
                assert not recording.strict

            @pytest.mark.gradparity(allow=["sum"], strict=False, dtypes=["float64"], seed=3)
            def test_marked(gradparity):
                with gradparity.record() as recording:
                    step()
                assert recording.allow == ("sum",) and not recording.strict

            def test_unknown(gradparity):
                with pytest.raises(ValueError, match="nonsense"):
                    gradparity.record(allow=["nonsense"])
                with pytest.raises(TypeError):
                    gradparity.record(dtypes=["float64"])
        """)  # fmt: skip
        pytester.runpytest("--gradparity-strict").assert_outcomes(passed=4)


class TestReport:
    @pytest.mark.sample(1)
    @pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
    def test_it_is_in_the_merged_report(
        self, workers: tuple[str, ...], pytester: pytest.Pytester, project: Project
    ) -> None:
        if workers:
            pytest.importorskip("xdist")
        project(STEP, MIXED)
        report = ("--gradparity-report", "found.json", "--junitxml", "junit.xml")
        result = pytester.runpytest_subprocess(*report, *workers)
        result.assert_outcomes(passed=2, failed=1)
        document = json.loads((pytester.path / "found.json").read_text())
        runs = {
            test["nodeid"]: [run["case"] for report in test["reports"] for run in report["runs"]]
            for test in document["tests"]
        }
        assert runs == {
            "test_it.py::test_right": ["step"],
            "test_it.py::test_two": ["one", "two"],
            "test_it.py::test_wrong": ["training"],
        }
        assert document["unfinished"] == []
        assert 'name="gradparity.parity" value="no"' in (pytester.path / "junit.xml").read_text()

    def test_as_a_page(self, pytester: pytest.Pytester, project: Project) -> None:
        project(STEP, MIXED)
        pytester.runpytest("--gradparity-report", "found.html")
        page = (pytester.path / "found.html").read_text(encoding="utf-8")
        assert "training" in page
        assert "test_wrong" in page


ALIGNED = """
import torch
import gradparity as gp

def recorded(name, slope):
    torch.manual_seed(0)
    x, w = torch.randn(5, 3), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    loss = lambda w: torch.nn.functional.leaky_relu(x.double() @ w, slope).square().sum()
    return gp.record(loss, w, name=name, keep=True)
"""


class TestAlign:
    def test_programs_that_are_the_same_and_not(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(ALIGNED, """
            def test_same(gradparity):
                report = gradparity.align(recorded("old", 0.1), recorded("new", 0.1))
                assert report.exit_code == 0

            def test_other(gradparity):
                gradparity.align(recorded("old", 0.1), recorded("new", 0.2))

            def test_one_alone(gradparity):
                with pytest.raises(TypeError, match="give a recording"):
                    gradparity.align(recorded("old", 0.1), 3)
        """)  # fmt: skip
        result = pytester.runpytest()
        result.assert_outcomes(passed=2, failed=1)
        said = "E*AssertionError: 'old' and 'new' differ: they first part at 'leaky_relu_1'*"
        result.stdout.fnmatch_lines([said, "*0.1 here and 0.2 there*"])
        assert "concluded" not in result.stdout.str()
        assert "bound 0 u" not in result.stdout.str()
        result.stdout.fnmatch_lines(
            ["*test_other: mismatch in value leaky_relu_1, *'old against new'"]
        )


JAX = """
import jax
import jax.numpy as jnp
import gradparity as gp

@jax.custom_vjp
def square(x):
    return x * x

square.defvjp(lambda x: (x * x, x), lambda x, d: (d * x,))

def right(w):
    return jnp.sin(w).sum()

def wrong(w):
    return square(w).sum()

w = jnp.arange(1.0, 4.0)
"""


def test_functions_of_jax(pytester: pytest.Pytester, project: Project) -> None:
    pytest.importorskip("jax")
    project(JAX, """
        def test_right(gradparity):
            assert gradparity.record(right, w, name="sine").coverage == 1.0

        def test_wrong(gradparity):
            gradparity.record(wrong, w, name="square")

        def test_recorded(gradparity):
            assert gradparity(gp.record(right, w)).exit_code == 0

        def test_recorded_wrong(gradparity):
            gradparity([gp.record(right, w, name="one"), gp.record(wrong, w, name="two")])

        def test_of_pytorch(gradparity):
            gradparity.record(lambda x: x.exp().sum(), torch.ones(3, requires_grad=True))
    """.replace("torch.", "__import__('torch')."))  # fmt: skip
    result = pytester.runpytest()
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(["E       AssertionError: mismatch in *case 'square'*"])
    result.stdout.fnmatch_lines(["*case 'two'*"])
    assert "concluded" not in result.stdout.str()
