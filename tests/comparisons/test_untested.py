"""Final gradients that test nothing: excused only where they are zero whatever the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict, judge
from gradparity.core import (
    L2,
    Add,
    Affine,
    BatchNorm,
    Case,
    LinearLoss,
    Network,
    Node,
    ReLU,
    Tanh,
    Trace,
    backprop,
    layered,
)


def normed() -> Case:
    """A bias before a batch norm."""
    return Case.random(layered([Affine(3, 2), BatchNorm(2), Tanh()], L2()), batch=7)


def dead() -> Case:
    """W1 and b1 have no gradient on these data: every ReLU is off; W2 and b2 have one by y2 = x."""
    net = Network(
        Node("z1", Affine(3, 2), "x"),
        Node("y1", ReLU(), "z1"),
        Node("z2", Affine(3, 2), "x"),
        Node("s", Add(), "y1", "z2"),
        divergence=L2(),
    )
    case = Case.random(net, batch=5)
    return Case(net, case.params | {"b1": np.full(2, -50.0)}, case.x, case.d)


def untested(report: gp.Report) -> set[tuple[str, str]]:
    return {(run.dtype, f.quantity) for run, f in report.findings() if f.untested}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_bias_before_a_batch_norm_is_excused_and_listed(dtype: str) -> None:
    report = gp.check(normed(), backprop, dtypes=[dtype])
    assert report.exit_code == 0
    assert {f.quantity for _, f in report.findings() if f.structural} == {"grad b1"}
    assert "case, zero by structure: grad b1" in str(report)
    assert not untested(report)


def test_an_end_to_end_result_is_excused_too() -> None:
    def mine(case: Case) -> Any:
        return {f"grad {name}": backprop(case).grad[name] for name in case.network.trained}

    assert gp.check(normed(), mine).exit_code == 0


def test_a_dead_path_is_not_excused() -> None:
    report = gp.check(dead(), backprop, dtypes=["float64"])
    assert report.exit_code == 2
    assert untested(report) == {("float64", "grad W1"), ("float64", "grad b1")}
    reason = "grad W1, grad b1 were not tested: every element is below its own bound"
    assert reason in repr(report)
    assert reason in report.diagnosis().splitlines()[-1]
    assert reason in " ".join(str(report).split())
    assert gp.Report.from_json(report.to_json()) == report


def test_a_coincidence_of_the_data_is_not_structure() -> None:
    net = layered([Affine(2, 1)], L2())
    x, d = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([[0.3], [-0.3]])
    params = {"W1": np.array([[0.5], [0.25]]), "b1": np.zeros(1)}
    report = gp.check(Case(net, params, x, d), backprop, dtypes=["float64"])
    assert untested(report) == {("float64", "grad b1")}
    assert report.exit_code == 2


def test_what_only_float64_determines_is_not_tested_below_it() -> None:
    """The gradient of b1 is 2^-23 of its terms: determined in float64, rounding in float32."""
    net = layered([Affine(2, 1)], L2())
    x, d = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([[2.0], [-2.0 - 2.0**-22]])
    params = {"W1": np.array([[0.5], [0.25]]), "b1": np.zeros(1)}
    report = gp.check(Case(net, params, x, d), backprop, dtypes=["float64", "float32"])
    assert untested(report) == {("float32", "grad b1")}
    assert report.exit_code == 2


def at_zero(**slope: Any) -> Case:
    net = layered([Affine(2, 2), ReLU(**slope)], LinearLoss())
    params = {"W1": np.eye(2), "b1": np.zeros(2)}
    return Case(net, params, np.zeros((3, 2)), np.ones((3, 2)))


def off(case: Case) -> Trace:
    """Backprop with a slope of zero at the kink."""
    other = layered([Affine(2, 2), ReLU(subgradient=0.0)], LinearLoss())
    return backprop(Case(other, case.params, case.x, case.d).astype(case.precision))


@pytest.mark.parametrize("parts", [None, ("grad W1", "grad b1", "grad x")])
@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_zeros_that_only_kinks_allow_are_not_parity(slope: float, parts: Any) -> None:
    def mine(case: Case) -> Any:
        trace = off(case)
        return trace if parts is None else {p: trace.grad[p.split()[1]] for p in parts}

    report = gp.check(at_zero(subgradient=slope), mine, dtypes=["float64"])
    assert Verdict.MISMATCH not in {f.verdict for _, f in report.findings()}
    assert report.exit_code == 2
    assert "nothing was tested" in repr(report)


def test_a_gradient_passed_on_at_kinks_is_parity() -> None:
    def mine(case: Case) -> Any:
        return {"grad b1": backprop(case).grad["b1"]}

    assert gp.check(at_zero(subgradient=1.0), mine, dtypes=["float64"]).exit_code == 0


def use_and_sum(case: Case, wrong: Any, allow: Any = ()) -> tuple[Any, Any]:
    """The findings of the one use of x, and of the sum over it, of a trace made by `wrong`."""
    trace = backprop(case)
    trace.grad["x"] = trace.edge_grad["x", "z1"] = wrong(trace.grad["x"])
    found = {f.quantity: f for f in judge(case, trace, allow=allow)}
    return found["grad x -> z1"], found["grad x"]


def test_a_sum_over_one_use_that_is_wrong_is_undecided() -> None:
    use, total = use_and_sum(normed(), lambda g: 3 * g)
    assert use.verdict is Verdict.MISMATCH
    assert total.verdict is Verdict.INCONCLUSIVE
    assert (total.final, total.node) == (True, "z1")
    assert total.note == "it follows from grad x -> z1"


def test_a_sum_over_one_use_inherits_that_nothing_was_tested() -> None:
    """The gradient of x is below its own bound; what was returned is equal to itself."""
    net = layered([Affine(2, 2, bias=False)], LinearLoss())
    W = np.array([[1.0, 1.0], [1.0, 1.0]])
    x = np.ones((2, 2))
    case = Case(net, {"W1": W}, x, np.array([[1.0, -1.0], [2.0, -2.0]]))
    use, total = use_and_sum(case, lambda g: g + 1e-17)
    assert use.verdict is total.verdict is Verdict.VACUOUS
    assert total.untested


def test_a_sum_over_one_use_that_is_right_stays_exact() -> None:
    use, total = use_and_sum(normed(), lambda g: g)
    assert use.parity
    assert total.verdict is Verdict.EXACT


def test_a_sum_over_one_use_that_is_wrong_itself_has_its_own_verdict() -> None:
    case = normed()
    trace = backprop(case)
    trace.grad["x"] = 3 * trace.grad["x"]
    found = {f.quantity: f for f in judge(case, trace)}
    assert found["grad x -> z1"].parity
    assert found["grad x"].op == "sum over uses"
    assert found["grad x"].verdict is Verdict.MISMATCH


def test_a_branch_that_does_not_lead_to_the_loss_is_excused() -> None:
    net = Network(
        Node("z1", Affine(3, 2), "x"),
        Node("aside", Affine(3, 2), "x"),
        divergence=L2(),
        output="z1",
    )
    report = gp.check(Case.random(net, batch=5), backprop, dtypes=["float64"])
    assert report.exit_code == 0
    assert {f.quantity for _, f in report.findings() if f.structural} == {
        "grad W_aside",
        "grad b_aside",
    }


def cancelling(dtype: str, T: int = 64, mean: float = 1e-6) -> Case:
    """A bias whose gradient is a small mean of large terms."""
    dy = np.random.default_rng(0).standard_normal((T, 1))
    dy += mean - dy.mean()
    net = layered([Affine(1, 1)], LinearLoss())
    params = {"W1": np.ones((1, 1)), "b1": np.zeros(1)}
    return Case(net, params, np.ones((T, 1)), dy).astype(dtype)


def times(factor: float) -> Any:
    def mine(case: Case) -> Any:
        trace = backprop(case)
        for name in ("W1", "b1"):
            trace.grad[name] = case.dtype.type(factor) * trace.grad[name]
        return trace

    return mine


def test_a_convention_without_a_signal_explains_nothing() -> None:
    """A sum's bound exceeds the sum: it would explain the negated gradient too."""
    case, allow = cancelling("float32"), ["sum"]
    (f,) = (f for f in judge(case, times(-1)(case)) if f.quantity == "grad b1")
    assert f.verdict is Verdict.MISMATCH
    report = gp.check(case, times(-1), dtypes=["float32"], allow=allow)
    assert report.exit_code != 0
    assert all(not f.declared for _, f in report.findings())
    assert gp.check(case, times(-1), allow=allow).exit_code == 1


def test_an_allowed_sum_without_a_signal_is_not_accused() -> None:
    case = cancelling("float32")
    report = gp.check(case, times(64), allow=["sum"])
    assert report.exit_code == 2
    assert ("float32", "grad b1") in untested(report)
    assert Verdict.MISMATCH not in {f.verdict for _, f in report.findings()}


def test_an_allowed_sum_with_a_signal_is_parity() -> None:
    assert gp.check(cancelling("float32", mean=1.0), times(64), allow=["sum"]).exit_code == 0
