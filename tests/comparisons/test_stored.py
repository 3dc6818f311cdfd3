"""A report as JSON and back, and the worst elements it keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import reduce
from typing import Any

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
        report = gp.check_op(lambda y: y * (y > 0), lambda dz, y: dz, reference=ReLU())
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
            ("{", "it is not valid JSON"),
            ("[]", "its schema is None"),
            ('{"schema": "gradparity/atlas/2"}', "gradparity/atlas/2"),
            ('{"schema": "gradparity/report/1"}', "missing fields: differences, environment"),
            ('{"schema": "gradparity/report/1", "runs": 3}', "missing fields"),
        ],
    )
    def test_something_else_is_refused(self, text: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            from_json(text)

    @pytest.mark.parametrize("deep", ["[" * 100_000, '{"runs": ' * 100_000])
    def test_deep_nesting_is_refused(self, deep: str) -> None:
        with pytest.raises(ValueError, match="not valid JSON"):
            from_json(deep)

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            (("runs",), "abc", r"expected an array, received 'abc' @ \$\.runs"),
            (("runs", 0), [], r"expected an object, received \[\] @ \$\.runs\[0\]"),
            (("runs", 0, "case"), 3, "expected a string, received 3"),
            (("runs", 0, "about"), "\ud800", "expected a string"),
            (("runs", 0, "missing"), "W1", "expected an array, received 'W1'"),
            (("runs", 0, "findings", 0, "verdict"), "fine", "one of exact, rounding, .*'fine'"),
            (("runs", 0, "findings", 0, "elements"), True, "expected an integer, received True"),
            (("runs", 0, "findings", 0, "declared"), 1, "expected true or false, received 1"),
            (("runs", 0, "findings", 0, "error"), None, "expected a number, received None"),
            (("runs", 0, "findings", 0, "error"), "large", "expected a number, received 'large'"),
            (("runs", 0, "findings", 0, "error"), 10**400, "expected a number, received 1000"),
            (("runs", 0, "findings", 0, "index"), [0.5], "expected an integer, received 0.5"),
            (("runs", 0, "findings", 0, "kinks"), {}, "missing fields: count, reference"),
            (("runs", 0, "findings", 0, "power"), {"median": []}, "missing fields: tensor"),
            (("environment",), [1], "expected an object"),
            (("environment", "numpy"), {}, "expected a string"),
            (("graphs", "case", "nodes", 1, "inputs"), ["z9"], "y1 takes 'z9'"),
            (("graphs", "case", "nodes", 0, "inputs"), ["y1"], "z1 takes 'y1'"),
            (("graphs", "case", "nodes", 1, "name"), "z1", "two nodes have the name 'z1'"),
            (("graphs", "case", "output"), "z9", "Div takes 'z9'"),
            (("graphs", "case", "nodes", 0, "parameters", "W1"), "43", "an array, received '43'"),
            (("schema",), ["gradparity/report/1"], "its schema is"),
        ],
    )
    def test_a_wrong_value_is_refused_in_one_line(
        self, path: tuple[Any, ...], value: object, said: str
    ) -> None:
        document = json.loads(to_json(gp.check(CASE, gp.backprop, dtypes=["float64"])))
        *outer, last = path
        reduce(lambda inner, key: inner[key], outer, document)[last] = value
        with pytest.raises(ValueError, match=said) as caught:
            from_json(json.dumps(document))
        assert "\n" not in str(caught.value)
        assert "`gradparity check --json FILE`" in str(caught.value)

    def test_fields_of_later_versions_are_ignored(self) -> None:
        report = gp.check(CASE, wrong, dtypes=["float64"])
        document = json.loads(to_json(report))
        graph = document["graphs"]["case"]
        run = document["runs"][0]
        for record in (document, run, run["findings"][0], graph, graph["nodes"][0]):
            record["later"] = {"anything": [1]}
        assert to_json(from_json(json.dumps(document))) == to_json(report)


def test_it_is_the_same_in_every_process() -> None:
    """Not even the address of a user's function is in it."""
    code = """
import numpy as np, gradparity as gp
from gradparity.core import L2, VectorActivation
op = VectorActivation(lambda z: z * 2, pullback=lambda dy, z: dy * 2, n_in=3, n_out=3)
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
