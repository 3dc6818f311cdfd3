"""The values and gradients of every adapter, asked of PyTorch and of JAX alike."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from gradparity import core
from gradparity.adapters import get_adapter
from gradparity.comparisons.cases.suite import LOSSES, OPS, builtin_cases, gated
from gradparity.comparisons.judge.traces import check_trace
from gradparity.core import (
    L2,
    Add,
    Affine,
    Case,
    CrossEntropy,
    Edge,
    LinearLoss,
    Multiply,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Tanh,
    Trace,
    backprop,
    layered,
)

from .frameworks import U, arrays, assert_same, each_dtype, each_framework


@cache
def every_op(name: str, dtype: str) -> dict[str, tuple[Case, Trace]]:
    """Every op and every loss, traced together so that JAX compiles once."""
    names = [f"op-{op}" for op in OPS] + [f"loss-{loss}-mean" for loss in LOSSES]
    cases = [builtin_cases()[n].make().astype(dtype) for n in names]
    traces = get_adapter(name).run_all(cases)
    return {n: pair for n, *pair in zip(names, cases, traces, strict=True)}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("torch", "float64"),
        ("torch", "float32"),
        ("jax", "float64"),
        # Compiling is dear; test_suite.py runs the same networks in either dtype.
        pytest.param("jax", "float32", marks=pytest.mark.slow),
    ],
)
class TestEveryOpAndLoss:
    @pytest.mark.sample(1)
    def test_can_be_expressed_and_traced_completely(self, name: str, dtype: str) -> None:
        for case, trace in every_op(name, dtype).values():
            check_trace(case, trace)
            assert trace.dtype == dtype
            assert isinstance(trace.Err, float)
            assert trace.adapter == name
            assert name in trace.versions

    def test_holds_what_was_asked_for_and_nothing_else(self, name: str, dtype: str) -> None:
        for case, trace in every_op(name, dtype).values():
            net = case.network
            nodes = {node.name for node in net.nodes}
            assert set(trace.value) == nodes
            assert set(trace.grad) == nodes | set(net.parameter_shapes) | {"x", "Div"}
            assert set(trace.edge_grad) == set(net.edges)

    def test_err_is_the_mean_of_div_and_its_gradient_one_over_t(
        self, name: str, dtype: str
    ) -> None:
        for case, trace in every_op(name, dtype).values():
            scale = float(np.abs(trace.Div).max())
            assert trace.Err == pytest.approx(
                trace.Div.mean(dtype=np.float64), abs=1e3 * U[dtype] * scale
            )
            np.testing.assert_allclose(trace.grad["Div"], 1 / case.T, rtol=4 * U[dtype])

    def test_a_value_has_the_sum_of_the_gradients_of_its_uses(self, name: str, dtype: str) -> None:
        for case, trace in every_op(name, dtype).values():
            for node in case.network.nodes:
                uses = [trace.edge_grad[edge] for edge in case.network.consumers(node.name)]
                np.testing.assert_allclose(trace.grad[node.name], np.sum(uses, axis=0))

    def test_nothing_is_not_a_number(self, name: str, dtype: str) -> None:
        for builtin, (_, trace) in every_op(name, dtype).items():
            assert all(np.isfinite(a).all() for a in arrays(trace).values()), builtin


@each_framework
class TestUsesOfAValue:
    def test_each_has_a_gradient_of_its_own(self, name: str) -> None:
        case = gated()
        trace, hand = get_adapter(name).run(case), backprop(case)
        assert Edge("r1", "q1[0]") in trace.edge_grad
        assert Edge("r1", "q1[1]") in trace.edge_grad
        assert {e.target for e in trace.edge_grad if e[0] == "z1"} == {"y1", "g1", "r1"}
        assert len({trace.edge_grad[e].tobytes() for e in case.network.consumers("z1")}) == 3
        for key, array in arrays(hand).items():
            np.testing.assert_allclose(arrays(trace)[key], array, rtol=1e-10, atol=1e-13)

    def test_by_one_node_twice_are_told_apart(self, name: str) -> None:
        net = Network(
            Node("y1", Tanh(), "x"),
            Node("y2", core.Sigmoid(), "x"),
            Node("a1", Multiply(), "y1", "y2"),
            Node("m1", Multiply(), "a1", "a1"),
            Node("s1", Add(), "m1", "m1", "m1"),
            Node("c1", core.Concatenate(), "s1", "s1"),
            divergence=LinearLoss(),
        )
        case = Case.random(net, batch=2, width=3, seed=4)
        trace = get_adapter(name).run(case)
        for i in range(3):
            np.testing.assert_array_equal(
                trace.edge_grad["m1", f"s1[{i}]"], trace.grad["s1"], strict=True
            )
        dc = trace.grad["c1"]
        np.testing.assert_array_equal(trace.edge_grad["s1", "c1[0]"], dc[:, :3])
        np.testing.assert_array_equal(trace.edge_grad["s1", "c1[1]"], dc[:, 3:])
        product = trace.grad["m1"] * trace.value["a1"]
        for i in range(2):
            np.testing.assert_allclose(trace.edge_grad["a1", f"m1[{i}]"], product, rtol=1e-15)

    @each_dtype
    def test_that_lead_nowhere_have_gradient_zero(self, name: str, dtype: str) -> None:
        net = Network(
            Node("z1", Affine(3, 3), "x"),
            Node("z2", Affine(3, 2), "z1"),
            Node("lost", Affine(3, 4), "z1"),
            Node("further", ReLU(), "lost"),
            divergence=L2(),
            output="z2",
        )
        case = Case.random(net, batch=2, dtype=dtype)
        trace = get_adapter(name).run(case)
        check_trace(case, trace)
        for key in ("lost", "further", "W_lost", "b_lost"):
            assert not trace.grad[key].any()
        for edge in (("z1", "lost"), ("lost", "further")):
            assert not trace.edge_grad[edge].any()
        np.testing.assert_array_equal(trace.grad["z1"], trace.edge_grad["z1", "z2"])
        assert trace.grad["z1"].any()
        np.testing.assert_allclose(trace.value["further"], backprop(case).value["further"], 1e-5)


@each_framework
class TestTargets:
    """Class labels, their one-hot rows and distributions take different paths through a loss."""

    @pytest.mark.sample(5)
    @pytest.mark.parametrize("on", ["logits", "probabilities"])
    @pytest.mark.parametrize("kind", [CrossEntropy, core.KL])
    def test_of_every_kind_give_the_same(self, name: str, kind: Any, on: str) -> None:
        ops = [Affine(3, 4)] if on == "logits" else [Affine(3, 4), core.Softmax()]
        eps, labels = 0.02, np.array([0, 3, 1, 2, 3])
        one_hot = np.eye(4)[labels]
        smooth = one_hot - eps * (4 * one_hot - 1)
        net, plain = layered(ops, kind(eps, on)), layered(ops, kind(on=on))
        one = Case.random(net, batch=5, seed=8)
        traces = get_adapter(name).run_all(
            [
                Case(net, one.params, one.x, labels),
                Case(net, one.params, one.x, labels.astype(np.uint8)),
                Case(net, one.params, one.x, one_hot),
                Case(plain, one.params, one.x, smooth),
            ]
        )
        for other in traces[1:]:
            assert_same(traces[0], other, units=64)

    def test_without_smoothing_too(self, name: str) -> None:
        labels = np.array([0, 3, 1, 2, 3])
        net = layered([Affine(3, 4)], CrossEntropy())
        one = Case.random(net, batch=5, seed=8)
        by_label, by_row = get_adapter(name).run_all(
            [Case(net, one.params, one.x, d) for d in (labels, np.eye(4)[labels])]
        )
        assert_same(by_label, by_row, units=64)

    def test_reduction_is_the_networks(self, name: str) -> None:
        mean, total = (layered([Affine(3, 4)], L2(), reduction=r) for r in ("mean", "sum"))
        one = Case.random(mean, batch=4, seed=8)
        a, b = get_adapter(name).run_all([one, Case(total, one.params, one.x, one.d)])
        assert b.Err == pytest.approx(4 * a.Err)
        np.testing.assert_array_equal(b.grad["W1"], 4 * a.grad["W1"])
        np.testing.assert_array_equal(b.grad["Div"], 1.0)


@each_framework
class TestRandomizedLeakyReLU:
    @each_dtype
    def test_slopes_are_drawn_and_used_for_the_gradient_too(self, name: str, dtype: str) -> None:
        op = RandomizedLeakyReLU(0.1, 0.4)
        case = Case.random(layered([op], LinearLoss()), batch=60, width=5, seed=0, dtype=dtype)
        trace = get_adapter(name).run(case)
        negative = case.x < 0
        slope = trace.value["y1"][negative] / case.x[negative]
        assert slope.min() >= 0.1 - 1e-6
        assert slope.max() <= 0.4 + 1e-6
        assert len(np.unique(slope)) > 50
        assert np.ptp(slope) > 0.25
        ratio = trace.edge_grad["x", "y1"] / trace.grad["y1"]
        np.testing.assert_allclose(ratio[negative], slope, rtol=1e-5)
        np.testing.assert_array_equal(ratio[~negative], 1.0)

    def test_in_evaluation_has_the_mean_slope(self, name: str) -> None:
        op = RandomizedLeakyReLU(0.1, 0.4, training=False)
        case = Case.random(layered([op], LinearLoss()), batch=9, width=5, seed=0)
        y = get_adapter(name).run(case).value["y1"]
        np.testing.assert_allclose(y, np.where(case.x > 0, case.x, 0.25 * case.x), rtol=1e-15)
