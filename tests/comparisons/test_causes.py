"""One cause is one paragraph, and the earliest comes first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.findings.elements import side_by_side
from gradparity.comparisons.report.causes import causes
from gradparity.core import Affine, Case, CrossEntropy, Tanh, Trace, backprop, layered
from gradparity.core.network.quantity import by_quantity

DEEP = layered([Affine(5, 4), Tanh(), Affine(4, 4), Tanh(), Affine(4, 3)], CrossEntropy())

Fault = Callable[[Trace], None]


def checked(fault: Fault, *, only: str = "", **options: Any) -> gp.Report:
    """The report on the core's own gradients with a fault; `only` keeps some of the results."""

    def mine(case: Case) -> Any:
        trace = backprop(case)
        fault(trace)
        given = by_quantity(trace)
        return {q: a for q, a in given.items() if re.match(only, q)} if only else trace

    return gp.check(Case.random(DEEP, batch=16), mine, **options)


def scaled(*names: str, by: float = 3.0) -> Fault:
    def fault(trace: Trace) -> None:
        for name in names:
            kind = trace.value if name in trace.value else trace.grad
            kind[name] = kind[name] * kind[name].dtype.type(by)

    return fault


def heads(report: gp.Report) -> list[str]:
    return [cause.finding.quantity for cause in causes(report)]


class TestOrder:
    def test_values_come_in_the_order_of_computation(self) -> None:
        def fault(trace: Trace) -> None:
            trace.value["z2"] = trace.value["z2"] * 1.5
            trace.value["y1"] = trace.value["y1"] * 1.001  # smaller, and earlier
            trace.grad["W3"] = trace.grad["W3"] * 1e6  # larger, and later

        found = heads(checked(fault, dtypes=["float64"]))
        assert found.index("value y1") < found.index("value z2") < found.index("grad W3")
        assert found[0] == "value y1"

    def test_gradients_come_from_the_loss_back(self) -> None:
        def fault(trace: Trace) -> None:
            trace.grad["W1"] = trace.grad["W1"] * 1e6
            trace.grad["W3"] = trace.grad["W3"] * 1.001

        assert heads(checked(fault, dtypes=["float64"])) == ["grad W3", "grad W1"]

    def test_a_repr_tells_the_earliest(self) -> None:
        def fault(trace: Trace) -> None:
            trace.grad["W1"] = trace.grad["W1"] * 1e6
            trace.grad["W3"] = trace.grad["W3"] * 1.001

        assert "mismatch in grad W3 at node 'z3'" in repr(checked(fault, dtypes=["float64"]))

    def test_what_is_undecided_comes_last(self) -> None:
        def fault(trace: Trace) -> None:
            trace.value["nothing"] = trace.value["z1"]
            trace.grad["W1"] = trace.grad["W1"] * 2

        report = checked(fault, only="(value nothing|grad W)", dtypes=["float64"])
        assert heads(report) == ["grad W1", "value nothing"]


class TestOneComplaint:
    def test_about_many_quantities_and_dtypes_is_one(self) -> None:
        report = checked(scaled("W1", "b1", "W2", "b2", "W3", "b3", by=16.0))
        (cause,) = causes(report)
        assert cause.finding.quantity in ("grad W3", "grad b3")
        assert len(cause.too) == 2 * 6 - 1
        said = report.diagnosis()
        assert said.count("verdict ") == 1
        assert all(said.count(f"grad {name} at node") >= 1 for name in ("W1", "b1", "W2", "b2"))

    def test_different_complaints_are_told_apart(self) -> None:
        def fault(trace: Trace) -> None:
            scaled("W1", by=3.0)(trace)
            scaled("W2", by=5.0)(trace)

        assert heads(checked(fault, dtypes=["float64"])) == ["grad W2", "grad W1"]

    def test_what_follows_is_counted(self) -> None:
        def fault(trace: Trace) -> None:
            for name in ("W1", "b1", "x"):
                trace.grad[name] = trace.grad[name] + trace.grad[name].dtype.type(0.5)

        report = checked(fault, only="grad (W|b|x$)", dtypes=["float64"])
        first, *others = causes(report)
        assert not others
        assert first.following
        said = report.diagnosis()
        assert "follow from it, or are wrong too" in said or "follows from it, or is" in said

    def test_every_finding_is_in_one_cause(self) -> None:
        report = checked(scaled("W1", "b3", "z2", by=1.5))
        told = [len(c.too) + len(c.following) + 1 for c in causes(report)]
        assert sum(told) == sum(f.parity is not True for _, f in report.findings())


class TestAccepting:
    @pytest.mark.parametrize("by", [16.0, 1 / 16.0])
    def test_what_is_printed_can_be_pasted(self, by: float) -> None:
        fault = scaled("W1", "b1", "W2", "b2", "W3", "b3", by=by)
        said = checked(fault).diagnosis().splitlines()[-1]
        found = re.search(r"to accept it: allow=(\[.*\])$", said)
        assert found
        names = [name.strip("' ") for name in found[1].strip("[]").split(",")]
        assert checked(fault, allow=names)

    def test_a_mismatch_has_no_such_list(self) -> None:
        assert "to accept it" not in checked(scaled("W1", by=1.5)).diagnosis()


def test_digits_enough_to_see_the_difference() -> None:
    for apart in (1e-3, 1e-8, 1e-12, 2.0**-52):
        got, expected = side_by_side(0.7, 0.7 * (1 + apart))
        assert got != expected
        assert len(expected) < 25
    assert side_by_side(np.nan, 1.0) == ("nan", "1")
    assert side_by_side(0.0, 0.0) == ("0", "0")
