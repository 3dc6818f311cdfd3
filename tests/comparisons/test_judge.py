"""The judge's decisions: exact, rounding, vacuous, inconclusive, and the second opinion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict, judge
from gradparity.core import (
    Affine,
    Case,
    CrossEntropy,
    LinearLoss,
    Mean,
    Multiply,
    Network,
    Node,
    ReLU,
    Softplus,
    Sum,
    Tanh,
    Trace,
    backprop,
    layered,
)

from faults import faulty, with_op


def wide(dtype: str = "float32", n: int = 1024) -> Case:
    net = layered([Affine(n, 32), Tanh(), Affine(32, 4)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=16, seed=3, dtype=dtype)


def verdicts(case: Case, trace: Trace, **given) -> dict[str, Verdict]:
    return {f.quantity: f.verdict for f in judge(case, trace, **given)}


def float64_findings(case: Case):
    found = judge(case.astype("float64"), backprop(case.astype("float64")))
    return lambda: {f.quantity: f for f in found}


def test_exact_means_bitwise_what_rounding_the_reference_gives():
    case = Case.random(wide("float64").network, batch=12)  # 1/16 would be exact
    trace = backprop(case)
    assert verdicts(case, trace)["grad Div"] is Verdict.EXACT
    trace.grad["Div"] = np.nextafter(trace.grad["Div"], 1)
    assert verdicts(case, trace)["grad Div"] is Verdict.ROUNDING


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_zero_signal_is_vacuous_and_not_parity(dtype):
    net = layered([Affine(3, 2), ReLU()], LinearLoss())
    case = Case(
        net,
        {"W1": -np.ones((3, 2), dtype), "b1": -np.ones(2, dtype)},
        np.ones((4, 3), dtype),
        np.ones((4, 2), dtype),
    )
    found = verdicts(case, backprop(case))
    assert found["value y1"] is Verdict.VACUOUS
    assert found["grad W1"] is Verdict.VACUOUS
    assert found["value z1"] is not Verdict.VACUOUS


def test_overflow_that_any_implementation_has_is_inconclusive():
    net = layered([Affine(2, 2)], LinearLoss())
    huge = np.full((1, 2), 3e38, np.float32)
    params = {"W1": np.full((2, 2), 3.0, np.float32), "b1": np.zeros(2, np.float32)}
    case = Case(net, params, huge, np.ones((1, 2), np.float32))
    assert verdicts(case, backprop(case))["value z1"] is Verdict.INCONCLUSIVE


def test_a_non_finite_value_where_the_formula_is_finite_is_a_mismatch():
    net = layered([Softplus()], LinearLoss())
    case = Case(net, {}, np.array([[200.0]], np.float32), np.ones((1, 1), np.float32))
    naive = faulty(net.steps[0].op, forward=lambda right, z: np.log1p(np.exp(z)))
    with np.errstate(over="ignore"):
        trace = backprop(with_op(case, "y1", naive))
    assert np.isinf(trace.value["y1"]).all()
    assert verdicts(case, trace)["value y1"] is Verdict.MISMATCH


@pytest.mark.parametrize("quantity", ["W1", "z1"])
def test_one_element_of_a_wide_layer_is_found_in_float32_alone(quantity):
    case = wide()
    trace = backprop(case)
    tensor = trace.grad["W1"] if quantity == "W1" else trace.value["z1"]
    tensor[1, 2] += np.float32(1e-5) * np.abs(tensor).max()
    name = {"W1": "grad W1", "z1": "value z1"}[quantity]
    # Inside the worst case for 1024 terms, and right in float64: it still stands out.
    assert verdicts(case, trace, float64=float64_findings(case))[name] is Verdict.MISMATCH


def adversarial(y: np.ndarray, W: np.ndarray) -> np.ndarray:
    """y W in float32, one term after the other: all positive terms first, then the negative."""
    terms = y[:, :, None] * W[None]
    order = np.argsort(-terms, axis=1)
    return np.cumsum(np.take_along_axis(terms, order, axis=1), axis=1, dtype=np.float32)[:, -1]


def adversarial_trace(case: Case) -> Trace:
    forward = lambda right, y, W, b: adversarial(y, W) + b  # noqa: E731
    return backprop(with_op(case, "z1", faulty(case.network.steps[0].op, forward=forward)))


def test_an_adversarial_order_of_summation_is_settled_by_float64():
    case = wide()
    trace = adversarial_trace(case)
    found = {f.quantity: f for f in judge(case, trace, float64=float64_findings(case))}
    assert found["value z1"].verdict is Verdict.ROUNDING
    assert "sigma" in found["value z1"].note


def test_without_float64_it_is_inconclusive_and_says_what_to_do():
    case = wide()
    found = {f.quantity: f for f in judge(case, adversarial_trace(case))}
    assert found["value z1"].verdict is Verdict.INCONCLUSIVE
    assert "float64" in found["value z1"].note


def test_what_is_wrong_in_float64_too_is_a_mismatch():
    case = wide()

    def scaled(right, dz, y, z):
        dy, *gradients = right(dz, y, z)
        return dy, *(g * (1 + 2e-6) for g in gradients)

    wrong = faulty(case.network.steps[0].op, vjp=scaled)
    case64 = case.astype("float64")
    evidence = {f.quantity: f for f in judge(case64, backprop(with_op(case64, "z1", wrong)))}
    assert evidence["grad W1"].verdict is Verdict.MISMATCH
    trace = backprop(with_op(case, "z1", wrong))
    # The whole tensor moved by little: no element stands out in float32 alone.
    assert verdicts(case, trace, float64=lambda: evidence)["grad W1"] in {
        Verdict.MISMATCH,
        Verdict.ROUNDING,
    }
    assert verdicts(case64, backprop(with_op(case64, "z1", wrong)))["grad W1"] is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda t: t.value.pop("y1"), ValueError, "no value of 'y1'"),
        (lambda t: t.grad.pop("b1"), ValueError, "no grad of 'b1'"),
        (lambda t: t.edge_grad.pop(("z1", "y1")), ValueError, "edge_grad"),
        (lambda t: t.grad.update(W1=t.grad["W1"].T), ValueError, "expected (1024, 32)"),
        (lambda t: t.value.update(z1=t.value["z1"].astype("float64")), TypeError, "float64"),
        (
            lambda t: t.value.update(z1=np.ma.masked_less(t.value["z1"], 0)),
            TypeError,
            "value of 'z1' is a masked array, whose masked elements would not be compared; give",
        ),
        (lambda t: setattr(t, "Div", t.Div[:-1]), ValueError, "Div"),
    ],
)
def test_an_incomplete_trace_is_refused_before_anything_is_judged(spoil, error, says):
    case = wide()
    trace = backprop(case)
    spoil(trace)
    with pytest.raises(error) as raised:
        judge(case, trace)
    assert says in str(raised.value)


def test_something_else_than_a_trace_is_refused():
    with pytest.raises(TypeError, match="return a Trace"):
        judge(wide(), {"Err": 1.0})


@pytest.mark.parametrize("seed", range(6))
def test_zero_padded_batches_are_summed_alike_and_not_accused(seed):
    net = layered([Affine(8, 5)], CrossEntropy())
    case = Case.random(net, batch=2048, seed=seed)
    x, d = case.x.copy(), case.d.copy()
    x[1024:], d[1024:] = 0, 0
    case = Case(net, case.params, x, d).astype("float32")
    found = judge(case, backprop(case), float64_findings(case))
    assert not [f for f in found if f.verdict is Verdict.MISMATCH]


@pytest.mark.sample(4)
@pytest.mark.parametrize("ends", [{"a": 1.0}, {"a": 1.0, "b": -0.5}, {"a": 1.0, "b": 1.0}])
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_a_scalar_end_starts_with_its_factor(ends, name):
    """Being an end is one more use of a value, which `b` and `h` have beside another one."""
    if name != "numpy":
        pytest.importorskip(name)
    nodes = (
        Node("z", Affine(3, 2), "x"),
        Node("a", Sum(), "z"),
        Node("b", Mean(), "z"),
        Node("h", Multiply(), "b", "a"),
    )
    network = Network(*nodes, ends={**ends, "h": 2.0})
    case = Case.random(network, batch=4, seed=1)
    run = backprop if name == "numpy" else gp.get_adapter(name).run
    for dtype in ("float64", "float32"):
        here = case.astype(dtype)
        trace = run(here)
        found = judge(here, trace)
        assert {f.verdict for f in found} <= {Verdict.EXACT, Verdict.ROUNDING}
        assert {"grad a", "grad b", "grad h"} <= {f.quantity for f in found}
        for end in (*ends, "h"):
            other = np.asarray(1.1 * trace.grad[end], here.dtype)
            wrong = replace(trace, grad={**trace.grad, end: other})
            assert any(
                f.quantity == f"grad {end}" and f.verdict is Verdict.MISMATCH
                for f in judge(here, wrong)
            )
    report = gp.check(case, lambda case: backprop(case))
    assert report.exit_code == 0, str(report)
