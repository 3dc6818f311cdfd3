"""`parametrize_with_checks`: one test per check, under a stable name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import L2, Affine
from gradparity.testing import OwnNetwork

Project = Callable[..., Path]

TEST = """
def test_checks(implementation, check):
    check(implementation)
"""


class TestChecks:
    def test_each_is_a_test_with_a_name_that_can_be_chosen(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            class Op:
                name = "my relu"

                def checks(self):
                    return {"linearity-float64": lambda: gp.check(NET, right, dtypes=["float64"]),
                            "zero cotangent": lambda: None}

            named = gp.Case.random(NET, name="small net")

            @parametrize_with_checks(
                [Op(), OwnNetwork([NET, named], right), OwnNetwork(NET, right)]
            )
        """.rstrip(), TEST)  # fmt: skip
        result = pytester.runpytest("--collect-only", "-q")
        result.stdout.fnmatch_lines([
            "test_it.py::test_checks[[]my_relu-linearity-float64[]]",
            "test_it.py::test_checks[[]my_relu-zero_cotangent[]]",
            "test_it.py::test_checks[[]right-case-float64[]]",
            "test_it.py::test_checks[[]right-case-float32[]]",
            "test_it.py::test_checks[[]right-small_net-float64[]]",
            "test_it.py::test_checks[[]right-small_net-float32[]]",
            "test_it.py::test_checks[[]right-2-case-float64[]]",
            "test_it.py::test_checks[[]right-2-case-float32[]]",
        ], consecutive=True)  # fmt: skip
        pytester.runpytest("-k", "linearity or small_net").assert_outcomes(passed=3, deselected=5)

    def test_a_failure_is_a_diagnosis(self, pytester: pytest.Pytester, project: Project) -> None:
        project("@parametrize_with_checks([OwnNetwork(NET, wrong)])", TEST)
        result = pytester.runpytest()
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines([
            ">       check(implementation)",
            "E       AssertionError: mismatch in grad W1 at node 'z1': wrong, float64, case 'case'",
            "E       NO PARITY  1 of 18 quantities is not right, in 1 run",
        ])  # fmt: skip

    def test_settings_are_of_the_command_line_unless_they_are_given(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            class Op:
                name = "op"

                def checks(self, dtypes=("float64",), seed=0):
                    return {f"seed{seed}-{dtype}": lambda: None for dtype in dtypes}

            @parametrize_with_checks([Op()])
            def test_a(implementation, check):
                check(implementation)

            @parametrize_with_checks([Op()], dtypes="tf32", seed=1)
            def test_b(implementation, check):
                check(implementation)
        """)
        options = ("--gradparity-dtypes=float32,float16", "--gradparity-seed=4", "--co", "-q")
        pytester.runpytest(*options).stdout.fnmatch_lines([
            "test_it.py::test_a[[]op-seed4-float32[]]",
            "test_it.py::test_a[[]op-seed4-float16[]]",
            "test_it.py::test_b[[]op-seed1-tf32[]]",
        ], consecutive=True)  # fmt: skip
        pytester.runpytest("--co", "-q").stdout.fnmatch_lines(["*test_a[[]op-seed0-float64[]]"])

    def test_a_check_is_of_the_implementation_it_came_with(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project("""
            @parametrize_with_checks([OwnNetwork(NET, right)], dtypes=["float64"])
            def test_other(implementation, check):
                check(OwnNetwork(NET, right))
        """)
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E*TypeError: the check 'case-float64' belongs to 'right', *"])


class TestExpectedFailures:
    def test_are_told_with_their_reason_and_are_strict(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(
            """
            @parametrize_with_checks(
                [OwnNetwork(NET, wrong), OwnNetwork(NET, right)],
                expected_failed_checks={"case-float64": "known since spring"},
            )""",
            TEST,
        )
        result = pytester.runpytest("-rx")
        result.assert_outcomes(passed=1, failed=2, xfailed=1)
        result.stdout.fnmatch_lines([
            "*XPASS(strict)*known since spring*",
            "*test_checks[[]wrong-case-float64[]] (xfailed): mismatch in grad W1*",
            "XFAIL test_it.py::test_checks[[]wrong-case-float64[]] - *known since spring*",
        ])  # fmt: skip

    def test_may_pass_where_they_are_not_strict(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(
            """
            @parametrize_with_checks(
                [OwnNetwork(NET, wrong), OwnNetwork(NET, right)],
                expected_failed_checks=lambda own: {"case-float64": own.name},
                xfail_strict=False,
            )""",
            TEST,
        )
        pytester.runpytest().assert_outcomes(passed=1, failed=1, xfailed=1, xpassed=1)

    @pytest.mark.parametrize(
        ("expected", "said"),
        [
            ("{'case-float46': 'why'}", "*names unknown checks 'case-float46'; valid names: "
                                        "case-float32, case-float64"),
            ("lambda own: {'linearity': 'why'}", "*names unknown checks 'linearity'; valid *"),
            ("{'case-float64': ''}", "*expected_failed_checks['case-float64'] is ''; give the *"),
            ("['case-float64']", "*expected_failed_checks is ['case-float64']; give a dict *"),
            ("5", "*expected_failed_checks is 5; give a dict such as *"),
            ("lambda own: None", "*expected_failed_checks('right') is None; give a dict *"),
        ],
    )  # fmt: skip
    def test_that_say_nothing_are_an_error(
        self, pytester: pytest.Pytester, project: Project, expected: str, said: str
    ) -> None:
        decorator = "@parametrize_with_checks([OwnNetwork(NET, right)], expected_failed_checks="
        project(f"{decorator}{expected})", TEST)
        result = pytester.runpytest()
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"E*Error: {said.replace('[', '[[]')}"])

    def test_of_a_dtype_that_this_run_leaves_out_are_no_error(
        self, pytester: pytest.Pytester, project: Project
    ) -> None:
        project(
            "@parametrize_with_checks([OwnNetwork(NET, wrong)], "
            "expected_failed_checks={'case-float32': 'why'})",
            TEST,
        )
        pytester.runpytest("--gradparity-dtypes=float64").assert_outcomes(failed=1)


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[]", "ValueError: parametrize_with_checks is given no implementation"),
        ("'torch'", "TypeError: implementations is 'torch'; give a list of them"),
        ("[3]", "TypeError: 3 has no checks; give an OwnOp, *"),
        ("['tensorflow']", "*AdapterError: no adapter is called 'tensorflow'; registered are *"),
        ("[OwnNetwork(NET, right)], seed=-1", "ValueError: seed is -1; *"),
        ("[OwnNetwork([], right)]", "ValueError: OwnNetwork was given no case; *"),
        ("[OwnNetwork([3], right)]", "TypeError: OwnNetwork was given int; *"),
        ("[OwnNetwork]", "TypeError: OwnNetwork is a class; give an instance, OwnNetwork(...)"),
        ("[OwnNetwork(None, right)]", "TypeError: OwnNetwork was given NoneType; give a Case, *"),
        ("[OwnNetwork('abc', right)]", "TypeError: OwnNetwork was given str; give a Case, *"),
        (
            "[OwnNetwork(NET, None)]",
            "TypeError: OwnNetwork was given None as the implementation; *",
        ),
        ("[OwnNetwork(NET, right, allow='sum')]", "TypeError: allow is 'sum'; *"),
        (
            "[OwnNetwork(NET, right, allow=['smu'])]",
            "ValueError: convention 'smu' is unknown; *",
        ),
    ],
)
def test_what_cannot_be_checked_is_an_error(
    pytester: pytest.Pytester, project: Project, given: str, said: str
) -> None:
    project(f"@parametrize_with_checks({given})", TEST)
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"E*{said}"])


@pytest.mark.parametrize("dtypes", ["float32", ["float32"], [np.float32], np.dtype("float32")])
def test_dtypes_are_named_alike_however_they_are_given(dtypes: Any) -> None:
    own = OwnNetwork(gp.layered([Affine(3, 2)], L2()), gp.backprop)
    assert list(own.checks(dtypes=dtypes)) == ["case-float32"]
    with pytest.raises(ValueError, match="'x' is unknown; give any of"):
        own.checks(dtypes=["x"])


def test_names_given_twice_stay_apart(pytester: pytest.Pytester, project: Project) -> None:
    project(
        """
        OWN = [OwnNetwork(NET, right, name) for name in ("x", "x-2", "x")]

        @parametrize_with_checks(OWN, dtypes=["float64"])
        """,
        TEST,
    )
    result = pytester.runpytest("-v")
    result.stdout.fnmatch_lines([
        f"*test_checks[[]{name}-case-float64[]] PASSED*" for name in ("x", "x-2", "x-3")
    ])  # fmt: skip
