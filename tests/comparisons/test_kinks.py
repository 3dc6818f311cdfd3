"""At a kink: any element of the subdifferential passes, and is shown; anything else does not."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.suite import shared_zero
from gradparity.core import (
    ELU,
    SELU,
    Case,
    Hardtanh,
    LeakyReLU,
    LinearLoss,
    Max,
    Maximum,
    MaxPool,
    MaxSubsets,
    Network,
    Node,
    ReLU,
    Trace,
    backprop,
    layered,
)


def at(op, x: list[list[float]], dtype: str = "float64") -> tuple[Case, Trace]:
    x = np.array(x, dtype)
    network = layered([op], LinearLoss())
    shape = network.shapes({"x": x.shape})[network.output]
    d = np.resize(np.array([1.5, -0.75, 2.0], dtype), shape)
    case = Case(network, {}, x, d)
    return case, backprop(case)


def set_edge(trace: Trace, key: tuple[str, str], index, value) -> None:
    """One element of the gradient through an edge, and of the sum it goes into."""
    trace.edge_grad[key][index] = value
    trace.grad[key[0]] = trace.edge_grad[key].copy()


def finding(case, trace, quantity):
    return next(f for f in judge(case, trace) if f.quantity == quantity)


SLOPES = [
    (ReLU(), 0.0, [0.0, 0.5, 1.0, 0.123], [-0.001, 1.001, 1.7, np.nan]),
    (LeakyReLU(0.01), -0.0, [0.01, 1.0, 0.4], [0.0, 1.01]),
    (LeakyReLU(1.5), 0.0, [1.0, 1.5, 1.2], [0.99, 1.6]),
    (ELU(0.5), 0.0, [0.5, 1.0], [0.4, 1.1]),
    (SELU(), 0.0, [1.0507009873554805, 1.7580993408473766, 1.2], [1.0, 1.8]),
    (Hardtanh(), 1.0, [0.0, 1.0, 0.5], [-0.1, 1.1]),
    (Hardtanh(), -1.0, [0.0, 1.0, 0.5], [-0.1, 1.1]),
]


@pytest.mark.parametrize(("op", "kink", "valid", "invalid"), SLOPES)
def test_slopes_inside_the_interval_pass_and_others_do_not(op, kink, valid, invalid):
    for slope, good in [(s, True) for s in valid] + [(s, False) for s in invalid]:
        case, trace = at(op, [[kink, 0.3, -0.4], [2.0, kink, -2.0]])
        dz = trace.grad["y1"]
        set_edge(trace, ("x", "y1"), (0, 0), slope * dz[0, 0])
        f = finding(case, trace, "grad x -> y1")
        if good:
            taken = op.taken_at(next(k for k in op.kinks if k.at == kink))
            assert f.verdict in (
                {Verdict.EXACT, Verdict.ROUNDING} if slope == taken else {Verdict.SUBGRADIENT}
            )
            assert f.kinks.count == 2
        else:
            assert f.verdict is Verdict.MISMATCH
            assert f.index == (0, 0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_upstream_zero_leaves_the_choice_undetermined(dtype):
    case, _ = at(ReLU(), [[0.0, 1.0]], dtype)
    case = Case(case.network, {}, case.x, np.array([[0.0, 1.0]], dtype))
    trace = backprop(case)
    f = finding(case, trace, "grad x -> y1")
    assert f.kinks.undetermined == 1
    assert f.kinks.taken == {}
    set_edge(trace, ("x", "y1"), (0, 0), 1.0)  # not zero times anything
    assert finding(case, trace, "grad x -> y1").verdict is Verdict.MISMATCH


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_flushed_subnormal_is_at_the_kink(dtype):
    small = float(np.finfo(dtype).tiny) / 8
    case, trace = at(ReLU(), [[small, -small, 1.0]], dtype)
    set_edge(trace, ("x", "y1"), (0, 0), 0.5 * trace.grad["y1"][0, 0])
    assert finding(case, trace, "grad x -> y1").verdict is Verdict.SUBGRADIENT


def test_two_consumers_of_one_zero_cannot_hide_a_wrong_slope():
    case = shared_zero()
    trace = backprop(case)
    zero = tuple(np.argwhere(trace.value["z1"] == 0)[0])
    dz = trace.grad["y1"][zero]
    trace.edge_grad["z1", "y1"][zero] = 1.7 * dz
    trace.edge_grad["z1", "u1"][zero] = 0.0
    trace.grad["z1"][zero] = 1.7 * dz  # inside [0, 2], the sum of the two intervals
    wrong = [f for f in judge(case, trace) if f.verdict is Verdict.MISMATCH]
    assert "grad z1 -> y1" in {f.quantity for f in wrong}
    assert "grad z1 -> u1" not in {f.quantity for f in wrong}


TIES = [
    ([1.0, 0.0, 0.0], Verdict.EXACT, "first"),
    ([0.0, 0.0, 1.0], Verdict.SUBGRADIENT, "last"),
    ([1 / 3, 1 / 3, 1 / 3], Verdict.SUBGRADIENT, "even"),
    ([0.2, 0.5, 0.3], Verdict.SUBGRADIENT, "mixed"),
    ([1.0, 1.0, 0.0], Verdict.MISMATCH, None),  # weights that sum to two
    ([0.5, 0.0, 0.0], Verdict.MISMATCH, None),
    ([1.5, -0.5, 0.0], Verdict.MISMATCH, None),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("weights", "verdict", "rule"), TIES)
def test_weights_at_a_tie(weights, verdict, rule, dtype):
    case, trace = at(Max(), [[2.0, 2.0, 2.0, 1.0], [0.0, 1.0, 0.5, 0.2]], dtype)
    dz = trace.grad["y1"][0, 0]
    set_edge(trace, ("x", "y1"), 0, np.array([*weights, 0.0], dtype) * dz)
    f = finding(case, trace, "grad x -> y1")
    assert f.verdict is verdict
    if rule:
        assert f.kinks.taken == {rule: 1}
        assert ("1 take no single choice" in str(f.kinks)) == (rule == "mixed")


def test_weight_on_an_input_that_is_not_tied_is_a_mismatch():
    case, trace = at(Max(), [[2.0, 2.0, 1.0]])
    dz = trace.grad["y1"][0, 0]
    set_edge(trace, ("x", "y1"), 0, np.array([0.5, 0.0, 0.5]) * dz)
    assert finding(case, trace, "grad x -> y1").index == (0, 2)


OVERLAPPING = [
    ([[0, 1, 0], [0, 1, 0]], Verdict.SUBGRADIENT),
    ([[0.5, 0.5, 0], [0, 0.25, 0.75]], Verdict.SUBGRADIENT),
    ([[0, 2, 0], [0, 1, 0]], Verdict.MISMATCH),
    ([[0, 2, 0], [0, 0, 0]], Verdict.MISMATCH),
    ([[2, -1, 0], [0, 1, 0]], Verdict.MISMATCH),  # the sum over all inputs is right
    ([[0, 1, 0], [0, 0, 0.5]], Verdict.MISMATCH),
]


@pytest.mark.parametrize(("weights", "verdict"), OVERLAPPING)
def test_overlapping_ties_are_told_apart(weights, verdict):
    """Two subsets share a tied input; what each of them sends is not in the trace."""
    case, trace = at(MaxSubsets([[0, 1], [1, 2]]), [[1.0, 1.0, 1.0]])
    set_edge(trace, ("x", "y1"), 0, trace.grad["y1"][0] @ np.array(weights))
    assert finding(case, trace, "grad x -> y1").verdict is verdict


CONSTANT = [
    ("first", 1.0, Verdict.SUBGRADIENT),
    ("halves", 1.0, Verdict.INCONCLUSIVE),  # by no one rule: valid, which takes too long to show
    ("first", 1.001, Verdict.MISMATCH),  # more than was shared out
    ("first", -1.0, Verdict.MISMATCH),
    ("moved", 1.0, Verdict.MISMATCH),  # one pixel has what no window of it could give
]


@pytest.mark.parametrize(("ties", "factor", "verdict"), CONSTANT)
def test_windows_on_an_image_of_one_value_are_decided(ties, factor, verdict):
    """All 144 windows are connected, more than the flow is asked about."""
    network = layered([MaxPool((3, 3), ties="last")], LinearLoss())
    case = Case.random(network, x=np.ones((1, 1, 14, 14)))
    case = Case(network, {}, case.x, np.ones_like(case.d))
    trace = backprop(case)
    rule = {"y1": MaxPool((3, 3), ties="first")}
    other = backprop(Case(network.changed(ops=rule), {}, case.x, case.d)).grad["x"] * factor
    if ties == "halves":
        other = (other + trace.grad["x"]) / 2
    if ties == "moved":
        other[0, 0, 0, 0] += 9 * other[0, 0, 3, 3]
        other[0, 0, 3, 3:12] -= other[0, 0, 3, 3]
    trace.grad["x"] = trace.edge_grad["x", "y1"] = other
    assert finding(case, trace, "grad x -> y1").verdict is verdict


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 1.5])
def test_a_tie_with_an_input_that_has_no_gradient(weight):
    """E is tied with several elements of x, which is fixed: what x would get is not known."""
    network = Network(
        Node("m", Maximum(ties="first"), "E", "x"),
        divergence=LinearLoss(),
        fixed=("x",),
        parameters={"E": (1,)},
    )
    x = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    case = Case(network, {"E": np.zeros(1)}, x, np.ones_like(x))
    trace = backprop(case)
    certain = np.where(x < 0, trace.grad["m"], 0).sum()
    tied = np.where(x == 0, trace.grad["m"], 0).sum()
    trace.grad["E"] = np.array([certain + weight * tied])
    wanted = {1.0: Verdict.EXACT, 1.5: Verdict.MISMATCH}.get(weight, Verdict.SUBGRADIENT)
    assert finding(case, trace, "grad E").verdict is wanted
