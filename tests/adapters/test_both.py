"""What every adapter promises, asked of PyTorch and of JAX alike."""

from __future__ import annotations

import dataclasses
import random
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from gradparity import core
from gradparity.adapters import adapter
from gradparity.adapters.base import AdapterError
from gradparity.comparisons.suite import LOSSES, OPS, builtin_cases, gated
from gradparity.comparisons.traces import check_trace
from gradparity.core import (
    L2,
    Activation,
    Add,
    Affine,
    Case,
    CrossEntropy,
    Edge,
    InnerProduct,
    Multiply,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Tanh,
    Trace,
    VectorActivation,
    backprop,
    layered,
)

FRAMEWORKS = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in ("torch", "jax")
]
DTYPES = ("float32", "float64")
U = {"float32": 2.0**-24, "float64": 2.0**-53}

each_framework = pytest.mark.parametrize("name", FRAMEWORKS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def small(dtype: str = "float64", **how: Any) -> Case:
    net = layered([Affine(3, 4), Tanh(), Affine(4, 2)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=5, seed=1, dtype=dtype, **how)


def arrays(trace: Trace) -> dict[Any, np.ndarray]:
    """Every array of a trace under a name of its own."""
    kinds = {"value": trace.value, "grad": trace.grad, "edge": trace.edge_grad}
    return {"Div": trace.Div} | {(k, n): a for k, group in kinds.items() for n, a in group.items()}


def assert_same(a: Trace, b: Trace, units: float = 0.0) -> None:
    """Bitwise the same, or within so many u of the largest element of each tensor."""
    first, second = arrays(a), arrays(b)
    assert list(first) == list(second)
    for key, x in first.items():
        y = second[key]
        assert x.dtype == y.dtype
        if units:
            scale = max(float(np.abs(x).max(initial=0)), float(np.finfo(x.dtype).tiny))
            apart = float(np.abs(x - y).max(initial=0))
            assert apart <= units * U[x.dtype.name] * scale, key
        else:
            np.testing.assert_array_equal(x, y, err_msg=str(key))
    assert a.Err == pytest.approx(b.Err, rel=max(units, 1) * U[first["Div"].dtype.name])


@cache
def every_op(name: str, dtype: str) -> dict[str, tuple[Case, Trace]]:
    """Every op and every loss, traced together so that JAX compiles once."""
    names = [f"op-{op}" for op in OPS] + [f"loss-{loss}-mean" for loss in LOSSES]
    cases = [builtin_cases()[n].make().astype(dtype) for n in names]
    traces = adapter(name).run_all(cases)
    return {n: pair for n, *pair in zip(names, cases, traces, strict=True)}


@each_framework
@each_dtype
class TestEveryOpAndLoss:
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
class TestParameters:
    @each_dtype
    def test_survive_the_round_trip_bitwise(self, name: str, dtype: str) -> None:
        net = Network(
            Node("z1", Affine(4, 3), "x"),
            Node("hidden", Affine(3, 5, bias=False), "z1"),
            Node("most", core.Maxout(5, 2, pieces=2), "hidden"),
            divergence=L2(),
        )
        params = dict(Case.random(net, seed=2, dtype=dtype).params)
        info = np.finfo(dtype)
        awkward = [-0.0, 0.0, info.tiny, -info.tiny / 4, info.max, info.smallest_subnormal]
        params["W1"] = np.resize(np.array(awkward, dtype), (4, 3))
        native = adapter(name).build(net, params)
        back = adapter(name).export(net, native)
        assert (
            set(back) == set(params) == {"W1", "b1", "W_hidden", "W_most_pieces", "b_most_pieces"}
        )
        for key, array in params.items():
            assert isinstance(back[key], np.ndarray)
            assert back[key].dtype == dtype
            assert back[key].shape == array.shape
            assert back[key].tobytes() == array.tobytes(), key

    def test_are_read_in_any_layout_of_memory(self, name: str) -> None:
        net, rng = layered([Affine(4, 3)], L2()), np.random.default_rng(0)
        wide = rng.standard_normal((6, 8))
        params = {"W1": wide[::2, ::2].T, "b1": rng.standard_normal(6)[::-2]}
        back = adapter(name).export(net, adapter(name).build(net, params))
        for key, array in params.items():
            np.testing.assert_array_equal(back[key], array)

    def test_of_a_network_without_any_are_none(self, name: str) -> None:
        net = layered([Tanh()], L2())
        assert adapter(name).export(net, adapter(name).build(net, {})) == {}


@each_framework
class TestCopiesAtTheBoundary:
    def test_writing_into_a_trace_changes_nothing_else(self, name: str) -> None:
        case = small()
        kept = {**{k: p.copy() for k, p in case.params.items()}, "x": case.x.copy()}
        first = adapter(name).run(case)
        pristine = {key: a.copy() for key, a in arrays(first).items()}
        for key, array in arrays(first).items():
            array += 1.0
            # Nor do two quantities of one trace share their memory.
            np.testing.assert_array_equal(array, pristine[key] + 1.0, err_msg=str(key))
        for key, p in case.params.items():
            np.testing.assert_array_equal(p, kept[key])
        np.testing.assert_array_equal(case.x, kept["x"])
        again = arrays(adapter(name).run(case))
        for key, array in pristine.items():
            np.testing.assert_array_equal(again[key], array)

    def test_writing_into_the_case_afterwards_does_not_reach_the_trace(self, name: str) -> None:
        case = small("float32")
        trace = adapter(name).run(case)
        native = adapter(name).build(case.network, case.params)
        before = {key: a.copy() for key, a in arrays(trace).items()}
        params = {k: p.copy() for k, p in case.params.items()}
        for array in (case.x, case.desired, *case.params.values()):
            array.flags.writeable = True
            array += 1.0
        for key, array in arrays(trace).items():
            np.testing.assert_array_equal(array, before[key])
        exported = adapter(name).export(case.network, native)
        for key, p in params.items():
            np.testing.assert_array_equal(exported[key], p)

    def test_writing_into_what_was_built_from_leaves_it_alone(self, name: str) -> None:
        params = {k: p.copy() for k, p in small("float32").params.items()}
        native = adapter(name).build(small().network, params)
        for p in params.values():
            p.fill(7.0)
        exported = adapter(name).export(small().network, native)
        assert not any((p == 7.0).any() for p in exported.values())
        for p in exported.values():
            p += 1.0
        again = adapter(name).export(small().network, native)
        assert all(np.array_equal(again[k] + np.float32(1), p) for k, p in exported.items())


@each_framework
class TestRunning:
    def test_many_at_once_is_one_after_another(self, name: str) -> None:
        cases = [small(), small("float32"), gated(), small("float32", name="again")]
        together = adapter(name).run_all(cases)
        assert [t.dtype.name for t in together] == ["float64", "float32", "float64", "float32"]
        for case, trace in zip(cases, together, strict=True):
            assert_same(trace, adapter(name).run(case), units=64)

    def test_none_at_once_is_none(self, name: str) -> None:
        assert adapter(name).run_all([]) == []

    def test_again_is_bitwise_the_same(self, name: str) -> None:
        case = small("float32")
        assert_same(adapter(name).run(case), adapter(name).run(case))

    @each_dtype
    def test_dtype_rounds_the_case_first(self, name: str, dtype: str) -> None:
        other = small({"float32": "float64", "float64": "float32"}[dtype])
        asked = adapter(name).run(other, dtype=dtype)
        check_trace(other.astype(dtype), asked)
        assert_same(asked, adapter(name).run(other.astype(dtype)))
        (alike,) = adapter(name).run_all([other], dtype=np.dtype(dtype))
        assert_same(asked, alike)

    def test_a_device_can_be_named(self, name: str) -> None:
        case = small("float32")
        assert_same(adapter(name).run(case, device="cpu"), adapter(name).run(case))
        assert_same(adapter(name).run_all([case], device="cpu")[0], adapter(name).run(case))

    @pytest.mark.parametrize("device", ["abacus", "meta:7:7"])
    def test_a_device_that_is_not_there_is_named(self, name: str, device: str) -> None:
        with pytest.raises(AdapterError, match=rf"{name} cannot use the device '{device}'"):
            adapter(name).run(small(), device=device)

    def test_versions_are_names_and_strings(self, name: str) -> None:
        versions = adapter(name).versions()
        assert name in versions
        assert all(isinstance(text, str) and text for text in (*versions, *versions.values()))


@each_framework
class TestUsesOfAValue:
    def test_each_has_a_gradient_of_its_own(self, name: str) -> None:
        case = gated()
        trace, hand = adapter(name).run(case), backprop(case)
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
            divergence=InnerProduct(),
        )
        case = Case.random(net, batch=2, width=3, seed=4)
        trace = adapter(name).run(case)
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
        trace = adapter(name).run(case)
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

    @pytest.mark.parametrize("on", ["logits", "probabilities"])
    @pytest.mark.parametrize("kind", [CrossEntropy, core.KL])
    def test_of_every_kind_give_the_same(self, name: str, kind: Any, on: str) -> None:
        ops = [Affine(3, 4)] if on == "logits" else [Affine(3, 4), core.Softmax()]
        eps, labels = 0.02, np.array([0, 3, 1, 2, 3])
        one_hot = np.eye(4)[labels]
        smooth = one_hot - eps * (4 * one_hot - 1)
        net, plain = layered(ops, kind(eps, on)), layered(ops, kind(on=on))
        one = Case.random(net, batch=5, seed=8)
        traces = adapter(name).run_all(
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
        by_label, by_row = adapter(name).run_all(
            [Case(net, one.params, one.x, d) for d in (labels, np.eye(4)[labels])]
        )
        assert_same(by_label, by_row, units=64)

    def test_reduction_is_the_networks(self, name: str) -> None:
        mean, total = (layered([Affine(3, 4)], L2(), reduction=r) for r in ("mean", "sum"))
        one = Case.random(mean, batch=4, seed=8)
        a, b = adapter(name).run_all([one, Case(total, one.params, one.x, one.d)])
        assert b.Err == pytest.approx(4 * a.Err)
        np.testing.assert_array_equal(b.grad["W1"], 4 * a.grad["W1"])
        np.testing.assert_array_equal(b.grad["Div"], 1.0)


@each_framework
class TestRandomizedLeakyReLU:
    @each_dtype
    def test_slopes_are_drawn_and_used_for_the_gradient_too(self, name: str, dtype: str) -> None:
        op = RandomizedLeakyReLU(0.1, 0.4)
        case = Case.random(layered([op], InnerProduct()), batch=60, width=5, seed=0, dtype=dtype)
        trace = adapter(name).run(case)
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
        case = Case.random(layered([op], InnerProduct()), batch=9, width=5, seed=0)
        y = adapter(name).run(case).value["y1"]
        np.testing.assert_allclose(y, np.where(case.x > 0, case.x, 0.25 * case.x), rtol=1e-15)


@dataclasses.dataclass(frozen=True)
class Cube(Activation):
    """y = z^3: an op of the user's that no adapter has heard of."""

    def f(self, z: Any) -> Any:
        return z * z * z

    def df(self, dy: Any, z: Any, y: Any) -> Any:
        return 3 * z * z * dy


@dataclasses.dataclass(frozen=True)
class Hinge(core.Divergence):
    """Div = sum_i max(0, 1 - d_i y_i)."""


@each_framework
class TestWhatAnAdapterCannotExpress:
    def test_an_op_is_named(self, name: str) -> None:
        case = Case.random(layered([Affine(2, 2), Cube()], L2()))
        for attempt in (
            lambda: adapter(name).run(case),
            lambda: adapter(name).build(case.network, case.params),
        ):
            with pytest.raises(AdapterError, match=rf"the {name} adapter has no \w+ for Cube"):
                attempt()

    def test_a_divergence_is_named(self, name: str) -> None:
        case = Case.random(layered([Affine(2, 2)], Hinge()))
        with pytest.raises(AdapterError, match=rf"the {name} adapter has no loss for Hinge"):
            adapter(name).run(case)

    def test_the_cube_can_be_handed_over_as_a_vector_activation(self, name: str) -> None:
        cube = VectorActivation(lambda z: z * z * z, vjp=lambda dy, z: 3 * z * z * dy,
                                n_in=2, n_out=2)  # fmt: skip
        case = Case.random(layered([Affine(3, 2), cube], L2()), batch=3)
        assert_same(adapter(name).run(case), adapter(name).run(case))
        np.testing.assert_allclose(adapter(name).run(case).grad["W1"], backprop(case).grad["W1"])


class TestGlobalStateStaysAsItWas:
    """Torch's and JAX's own are in their files; this is what both could touch."""

    @each_framework
    def test_random_numbers_of_python_and_numpy(self, name: str) -> None:
        net = layered([Affine(3, 3), RandomizedLeakyReLU()], L2())
        case = Case.random(net, batch=2)
        state = random.getstate(), repr(np.random.get_state())
        adapter(name).run(case)
        adapter(name).build(net, case.params)
        assert (random.getstate(), repr(np.random.get_state())) == state

    @each_framework
    def test_numpys_errors_and_printing(self, name: str) -> None:
        with np.errstate(all="raise"):
            state = np.geterr(), np.get_printoptions()
            adapter(name).run(small())
            assert (np.geterr(), np.get_printoptions()) == state


@each_framework
@each_dtype
def test_one_step_of_the_trainer_is_w_minus_eta_times_the_gradient(name: str, dtype: str) -> None:
    case, eta, rows = small(dtype), 0.5, np.array([3, 0, 4])
    trainer = adapter(name).trainer(case, eta)  # type: ignore[attr-defined]
    start = trainer.params()
    for key, p in case.params.items():
        np.testing.assert_array_equal(start[key], p, strict=True)
    part = Case(case.network, case.params, case.x[rows], case.d[rows])
    hand = backprop(part)
    assert trainer.step(rows) == pytest.approx(hand.Err, rel=1e2 * U[dtype])
    for key, p in trainer.params().items():
        expected = case.params[key] - np.dtype(dtype).type(eta) * hand.grad[key]
        np.testing.assert_allclose(p, expected, rtol=1e2 * U[dtype], atol=1e2 * U[dtype])
        assert p.dtype == dtype
        np.testing.assert_array_equal(start[key], case.params[key])  # a copy, not a view
