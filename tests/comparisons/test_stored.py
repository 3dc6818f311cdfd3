"""A report as JSON and back, and the worst elements it keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.findings.elements import furthest
from gradparity.comparisons.report.as_json import from_json, to_json
from gradparity.core import Affine, CrossEntropy, ReLU

NET = gp.layered([Affine(4, 3), ReLU(), Affine(3, 2)], CrossEntropy(eps=0.01))
CASE = gp.Case.random(NET, batch=5, seed=1)


def wrong(case: gp.Case) -> gp.Trace:
    given = gp.backprop(case)
    given.grad["W1"][1, 2] *= 1.5
    given.grad["W1"][3, 0] *= 1.1
    given.grad["b2"][0] = np.nan
    return given


class TestWorst:
    def test_the_elements_that_were_changed_are_told_with_both_values(self) -> None:
        right = gp.backprop(CASE).grad["W1"]
        report = gp.check(CASE, wrong, dtypes=["float64"])
        found = {f.quantity: f for _, f in report.findings()}["grad W1"]
        assert {e.index for e in found.worst} == {(1, 2), (3, 0)}
        for e in found.worst:
            assert e.expected == pytest.approx(right[e.index], rel=1e-12)
            assert e.got == wrong(CASE).grad["W1"][e.index]
            assert e.error > e.bound
        first = found.worst[0]
        assert (first.index, first.got, first.error) == (found.index, found.got, found.error)

    def test_what_is_right_keeps_none(self) -> None:
        assert not any(f.worst for _, f in gp.check(CASE, gp.backprop).findings())

    def test_the_furthest_come_first_and_nan_before_all(self) -> None:
        want = np.zeros(9)
        got = np.array([0, 1, 2, 3, np.nan, 5, 6, 7, 8.0])
        error = np.abs(got - want)
        told = furthest(got, want, error, np.ones(9), ~(error <= 1), 0.5)
        assert [e.index for e in told] == [(4,), (8,), (7,), (6,), (5,)]
        assert told[1].error == 16.0


class TestBack:
    @pytest.mark.parametrize("implementation", [gp.backprop, wrong])
    def test_nothing_is_lost(self, implementation: object) -> None:
        report = gp.check([CASE, NET], implementation, dtypes=["float64", "bfloat16"])
        again = from_json(to_json(report))
        assert to_json(again) == to_json(report)
        assert str(again) == str(report)
        assert again.graphs == report.graphs

    def test_a_report_of_an_op_too(self) -> None:
        report = gp.check_op(lambda y: y * (y > 0), lambda dz, y: dz, like=ReLU())
        assert to_json(from_json(to_json(report))) == to_json(report)

    def test_what_was_written_before_graphs_and_elements(self) -> None:
        document = json.loads(to_json(gp.check(CASE, gp.backprop, dtypes=["float64"])))
        del document["graphs"]
        for finding in document["runs"][0]["findings"]:
            del finding["worst"]
        assert from_json(json.dumps(document))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "it is no JSON"),
            ("[]", "its schema is None"),
            ('{"schema": "gradparity/atlas/1"}', "gradparity/atlas/1"),
            ('{"schema": "gradparity/report/1"}', "lacks something"),
            ('{"schema": "gradparity/report/1", "runs": 3}', "lacks something"),
        ],
    )
    def test_what_is_no_report_is_refused(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            from_json(text)


def test_it_is_the_same_in_every_process() -> None:
    """Not even the address of a user's function is in it."""
    code = """
import numpy as np, gradparity as gp
from gradparity.core import L2, VectorActivation
op = VectorActivation(lambda z: z * 2, vjp=lambda dy, z: dy * 2, n_in=3, n_out=3)
report = gp.check(gp.Case.random(gp.layered([op], L2())), gp.backprop)
padding = [object() for _ in range({})]
print(report.to_json(), report.to_html())
"""
    ran = [
        subprocess.run(
            [sys.executable, "-c", code.replace("{}", n)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": n},
        ).stdout
        for n in ("1", "77777")
    ]
    assert " at 0x" not in ran[0]
    assert ran[0] == ran[1]


def test_reports_of_unlike_runs_put_together_are_told() -> None:
    cases = [replace(CASE, name=f"case-{i}") for i in range(5)]
    one = gp.check(cases, gp.backprop, dtypes=["float64"])
    other = gp.check(CASE, wrong, dtypes=["float32"])
    both = replace(one, runs=one.runs + other.runs)
    assert "NO PARITY" in str(both)
    assert "case-4" in both.to_html()
