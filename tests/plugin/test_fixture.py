"""The fixture `gradparity`: what it passes, what it fails, and what the failure says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., Path]


class TestVerdict:
    def test_a_right_gradient_passes_and_the_report_is_returned(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def test_right(gradparity):
                report = gradparity(NET, right, gp.backprop)
                assert report and {run.adapter for run in report.runs} == {"right", "backprop"}

            def test_cases(gradparity):
                assert len(gradparity([gp.Case.random(NET), NET], right).runs) == 4

            class TestInClass:
                @pytest.mark.parametrize("batch", [1, 5])
                def test_parametrised(self, gradparity, batch):
                    gradparity(gp.Case.random(NET, batch=batch), right)
        """)
        pytester.runpytest("-W", "error").assert_outcomes(passed=4)

    def test_a_planted_fault_is_told_as_a_diagnosis(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def test_wrong(gradparity):
                gradparity(NET, wrong)
        """)
        result = pytester.runpytest()
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([
            ">       gradparity(NET, wrong)",
            "E       AssertionError: mismatch in grad W1 at node 'z1': wrong, float64, case 'case'",
            "E       grad W1, at node 'z1', op Affine(3, 4)",
            "E         run         wrong, float64, case 'case'",
            "E         also        float32",
            "E         verdict     MISMATCH, 12 of 12 elements outside their bound",
            "E         worst       index [[]*, *[]]: got *, the formula gives *",
            "E         error       * u, bound * u",
            "E         why         every element is 1.5 times the formula",
            "E       NO PARITY  2 of 36 quantities are not right, in 2 of 2 runs",
            "test_it.py:*: AssertionError",
            "*= gradient parity =*",
            "1 test, 2 runs, 36 quantities: * 2 mismatch",
            "test_it.py::test_wrong: mismatch in grad W1, wrong, float64, case 'case': * u, *",
            "FAILED test_it.py::test_wrong - AssertionError: mismatch in grad W1*",
        ])  # fmt: skip
        assert "concluded" not in result.stdout.str()  # nothing of our own frames

    def test_a_tested_nothing_is_no_pass(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def test_zero(gradparity):
                case = gp.Case.random(NET)
                case = gp.Case(NET, {n: 0 * p for n, p in case.params.items()}, case.x, 0 * case.d)
                gradparity(case, right)
        """)
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E*nothing was tested*", "E*UNKNOWN*"])

    def test_many_quantities_are_counted(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def test_wrong(gradparity):
                def nothing_right(case):
                    trace = gp.backprop(case)
                    trace.grad = {n: (i + 2) * g for i, (n, g) in enumerate(trace.grad.items())}
                    return trace
                other = gp.layered([gp.core.Affine(5, 2)], gp.core.L2())
                gradparity([NET, other, NET], nothing_right)
        """)
        result = pytester.runpytest()
        text = result.stdout.str()
        assert text.count("  verdict     ") == 10
        result.stdout.fnmatch_lines(
            ["E       ... and * more", "... and * more runs without parity"]
        )

    def test_a_plain_assert_is_readable(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def test_expression():
                assert gp.check(NET, wrong, dtypes=["float64"])

            def test_name():
                report, other = (gp.check(NET, wrong, dtypes=[d]) for d in ("float64", "float32"))
                assert not other
                assert report

            def test_something_else():
                report = gp.check(NET, wrong, dtypes=["float64"])
                assert 1 == 2
        """)
        result = pytester.runpytest()
        result.assert_outcomes(failed=3)
        result.stdout.fnmatch_lines([
            "E*assert <Report: mismatch in grad W1 at node 'z1': wrong, float64, case 'case'>",
            "*- gradient parity -*",
            "  why         every element is 1.5 times the formula",
            "*- gradient parity -*",
        ])  # fmt: skip
        assert result.stdout.str().count("- gradient parity -") == 2
        assert "float32, case" not in result.stdout.str()


class TestSettings:
    def test_arguments_over_marker_over_command_line(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def dtypes(report):
                return [run.dtype for run in report.runs]

            def test_command_line(gradparity):
                assert dtypes(gradparity(NET, right)) == ["bfloat16"]

            @pytest.mark.gradparity(dtypes="float64, tf32")
            class TestMarked:
                def test_marker(self, gradparity):
                    assert dtypes(gradparity(NET, right)) == ["float64", "tf32"]

                @pytest.mark.gradparity(dtypes=["float16"])
                def test_closest(self, gradparity):
                    assert dtypes(gradparity(NET, right)) == ["float16"]

                @pytest.mark.gradparity(seed=5)
                def test_keyword_by_keyword(self, gradparity):
                    assert gradparity.settings.seed == 5
                    assert dtypes(gradparity(NET, right)) == ["float64", "tf32"]

                def test_argument(self, gradparity):
                    assert dtypes(gradparity(NET, right, dtypes=["float32"])) == ["float32"]
        """)
        result = pytester.runpytest("--gradparity-dtypes=bfloat16", "--strict-markers")
        result.assert_outcomes(passed=5)

    def test_a_network_is_given_numbers_of_the_seed(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def seen(gradparity, **options):
                cases = []
                gradparity(NET, lambda case: cases.append(case) or gp.backprop(case),
                           dtypes=["float64"], **options)
                return cases[0].x

            def test_seed(gradparity):
                assert (seen(gradparity) == gp.Case.random(NET, seed=7).x).all()
                assert (seen(gradparity, seed=8) == gp.Case.random(NET, seed=8).x).all()
        """)
        pytester.runpytest("--gradparity-seed=7").assert_outcomes(passed=1)

    def test_an_expected_convention_passes(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def summed(case):
                return {"grad W2": case.T * gp.backprop(case).grad["W2"]}

            @pytest.mark.gradparity(allow=["sum"])
            def test_expected(gradparity):
                gradparity(NET, summed)

            def test_unexpected(gradparity):
                gradparity(NET, summed)
        """)
        result = pytester.runpytest()
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["E*verdict     CONVENTION sum*"])

    @pytest.mark.parametrize(
        ("marker", "said"),
        [
            ("dtype='float64'", "*is given dtype; it takes the keywords adapters, dtypes, *"),
            ("'float64'", "*is given 'float64'; it takes the keywords adapters, dtypes, *"),
            ("dtypes=['float65']", "*unknown name 'float65' in dtypes; valid names: *bfloat16*"),
            ("dtypes=64", "*dtypes is 64; give names, such as 'float64,float32'"),
            (
                "adapters=['tensorflow']",
                "*unknown name 'tensorflow' in adapters; valid names: *jax*",
            ),
            ("adapters=[]", "*adapters is empty; give names, such as 'torch,jax'"),
            ("allow='sum'", "*allow is 'sum'; give a list of names*"),
            ("allow=['total']", "*'total' is unknown; valid names: sum, *"),
            ("seed=-1", "*seed is -1; give a whole number*"),
            ("seed=True", "*seed is True; give a whole number*"),
        ],
    )
    def test_a_bad_marker_fails_the_test(
        self, pytester: pytest.Pytester, project: Project, marker: str, said: str
    ) -> None:
        project(f"""
            @pytest.mark.gradparity({marker})
            def test_that_does_not_use_it():
                pass
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"*@pytest.mark.gradparity in test_it.py::test_that*{said}"])
        assert "During handling" not in result.stdout.str()

    def test_a_bad_marker_is_seen_when_its_adapters_are_collected(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            @pytest.mark.gradparity(adapters=["tensorflow"])
            def test_each(gradparity_adapter):
                pass
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*@pytest.mark.gradparity in *: unknown name 'tensorflow'*"])
        assert "Traceback" not in result.stdout.str()

    def test_a_bad_argument_says_what_there_is(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            def test_unknown(gradparity):
                with pytest.raises(TypeError, match="gradparity is given rtol; it takes .* dtypes"):
                    gradparity(NET, right, rtol=1e-3)

            def test_no_case(gradparity):
                with pytest.raises(TypeError, match="check was given int"):
                    gradparity(3, right)
                with pytest.raises(TypeError, match="check was given str"):
                    gradparity("abc", right)

            def test_seed(gradparity):
                with pytest.raises(ValueError, match="seed is 'x'"):
                    gradparity(NET, right, seed="x")
        """)
        pytester.runpytest().assert_outcomes(passed=3)


class TestOtherChecks:
    def test_of_an_op_and_of_an_adapter(self, pytester: pytest.Pytester, project: Project) -> None:
        project("""
            def fake_check_op(forward, backward, *, reference, dtypes=("float64",), seed=0):
                assert (forward, backward, reference, seed) == (abs, abs, "op", 3)
                return gp.check(NET, wrong, dtypes=dtypes)

            def fake_check_adapter(adapter):
                assert adapter == "torch"

            def test_op(gradparity, monkeypatch):
                monkeypatch.setattr(gp, "check_op", fake_check_op, raising=False)
                with pytest.raises(AssertionError, match="1 of 18 quantities is not right"):
                    gradparity.check_op(abs, abs, reference="op")

            def test_adapter(gradparity, monkeypatch):
                from gradparity.testing import conformance

                monkeypatch.setattr(conformance, "check_adapter", fake_check_adapter)
                gradparity.check_adapter("torch")
        """)
        result = pytester.runpytest("--gradparity-seed=3", "--gradparity-dtypes=float64")
        result.assert_outcomes(passed=2)
