"""Every adapter's promises at its boundary, tested for PyTorch and JAX alike."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest

from gradparity import core
from gradparity.adapters import get_adapter
from gradparity.adapters.base import AdapterError
from gradparity.comparisons import judge
from gradparity.comparisons.cases.suite import gated
from gradparity.comparisons.judge.traces import check_trace
from gradparity.core import (
    L2,
    Activation,
    Affine,
    Case,
    Network,
    Node,
    RandomizedLeakyReLU,
    Tanh,
    VectorActivation,
    backprop,
    layered,
)
from gradparity.core.vocabulary.kinked import PReLU
from gradparity.core.vocabulary.normalisation import RMSNorm

from .frameworks import U, arrays, assert_same, each_dtype, each_framework, small


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
        native = get_adapter(name).build(net, params)
        back = get_adapter(name).export(net, native)
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
        back = get_adapter(name).export(net, get_adapter(name).build(net, params))
        for key, array in params.items():
            np.testing.assert_array_equal(back[key], array)

    def test_of_a_function_may_be_shared_by_nodes(self, name: str) -> None:
        net = Network(
            Node("y1", PReLU(4), "x", a="a"),
            Node("y2", RMSNorm(4), "y1", g="g"),
            Node("y3", PReLU(4), "y2", a="a"),
            Node("y4", RMSNorm(4), "y3", g="g"),
            divergence=L2(),
            parameters={"a": (4,), "g": (4,)},
        )
        case = Case.random(net, batch=5, seed=1, width=4)
        trace = get_adapter(name).run(case)
        for parameter, uses in (("a", ("y1", "y3")), ("g", ("y2", "y4"))):
            assert set(net.consumers(parameter)) == {(parameter, use) for use in uses}
        assert not [str(f) for f in judge(case, trace) if f.parity is not True]

    def test_of_a_network_without_any_are_none(self, name: str) -> None:
        net = layered([Tanh()], L2())
        assert get_adapter(name).export(net, get_adapter(name).build(net, {})) == {}


@each_framework
class TestCopiesAtTheBoundary:
    def test_writing_into_a_trace_changes_nothing_else(self, name: str) -> None:
        case = small()
        kept = {**{k: p.copy() for k, p in case.params.items()}, "x": case.x.copy()}
        first = get_adapter(name).run(case)
        pristine = {key: a.copy() for key, a in arrays(first).items()}
        for key, array in arrays(first).items():
            array += 1.0
            # Nor do two quantities of one trace share their memory.
            np.testing.assert_array_equal(array, pristine[key] + 1.0, err_msg=str(key))
        for key, p in case.params.items():
            np.testing.assert_array_equal(p, kept[key])
        np.testing.assert_array_equal(case.x, kept["x"])
        again = arrays(get_adapter(name).run(case))
        for key, array in pristine.items():
            np.testing.assert_array_equal(again[key], array)

    def test_writing_into_the_case_afterwards_does_not_reach_the_trace(self, name: str) -> None:
        case = small("float32")
        trace = get_adapter(name).run(case)
        native = get_adapter(name).build(case.network, case.params)
        before = {key: a.copy() for key, a in arrays(trace).items()}
        params = {k: p.copy() for k, p in case.params.items()}
        for array in (case.x, case.desired, *case.params.values()):
            array.flags.writeable = True
            array += 1.0
        for key, array in arrays(trace).items():
            np.testing.assert_array_equal(array, before[key])
        exported = get_adapter(name).export(case.network, native)
        for key, p in params.items():
            np.testing.assert_array_equal(exported[key], p)

    def test_writing_into_what_was_built_from_leaves_it_alone(self, name: str) -> None:
        params = {k: p.copy() for k, p in small("float32").params.items()}
        native = get_adapter(name).build(small().network, params)
        for p in params.values():
            p.fill(7.0)
        exported = get_adapter(name).export(small().network, native)
        assert not any((p == 7.0).any() for p in exported.values())
        for p in exported.values():
            p += 1.0
        again = get_adapter(name).export(small().network, native)
        assert all(np.array_equal(again[k] + np.float32(1), p) for k, p in exported.items())


@each_framework
class TestRunning:
    def test_many_at_once_is_one_after_another(self, name: str) -> None:
        cases = [small(), small("float32"), gated(), small("float32", name="again")]
        together = get_adapter(name).run_all(cases)
        assert [t.dtype.name for t in together] == ["float64", "float32", "float64", "float32"]
        for case, trace in zip(cases, together, strict=True):
            assert_same(trace, get_adapter(name).run(case), units=64)

    def test_none_at_once_is_none(self, name: str) -> None:
        assert get_adapter(name).run_all([]) == []

    def test_again_is_bitwise_the_same(self, name: str) -> None:
        case = small("float32")
        assert_same(get_adapter(name).run(case), get_adapter(name).run(case))

    @each_dtype
    def test_dtype_rounds_the_case_first(self, name: str, dtype: str) -> None:
        other = small({"float32": "float64", "float64": "float32"}[dtype])
        asked = get_adapter(name).run(other, dtype=dtype)
        check_trace(other.astype(dtype), asked)
        assert_same(asked, get_adapter(name).run(other.astype(dtype)))
        (alike,) = get_adapter(name).run_all([other], dtype=np.dtype(dtype))
        assert_same(asked, alike)

    def test_a_device_can_be_named(self, name: str) -> None:
        case = small("float32")
        assert_same(get_adapter(name).run(case, device="cpu"), get_adapter(name).run(case))
        assert_same(get_adapter(name).run_all([case], device="cpu")[0], get_adapter(name).run(case))

    @pytest.mark.parametrize("device", ["abacus", "meta:7:7"])
    def test_a_device_that_is_not_there_is_named(self, name: str, device: str) -> None:
        with pytest.raises(AdapterError, match=rf"{name} cannot use the device '{device}'"):
            get_adapter(name).run(small(), device=device)

    def test_versions_are_names_and_strings(self, name: str) -> None:
        versions = get_adapter(name).versions()
        assert name in versions
        assert all(isinstance(text, str) and text for text in (*versions, *versions.values()))


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
            lambda: get_adapter(name).run(case),
            lambda: get_adapter(name).build(case.network, case.params),
        ):
            with pytest.raises(AdapterError, match=rf"the {name} adapter has no \w+ for Cube"):
                attempt()

    def test_a_divergence_is_named(self, name: str) -> None:
        case = Case.random(layered([Affine(2, 2)], Hinge()))
        with pytest.raises(AdapterError, match=rf"the {name} adapter has no loss for Hinge"):
            get_adapter(name).run(case)

    def test_the_cube_can_be_handed_over_as_a_vector_activation(self, name: str) -> None:
        cube = VectorActivation(lambda z: z * z * z, pullback=lambda dy, z: 3 * z * z * dy,
                                n_in=2, n_out=2)  # fmt: skip
        case = Case.random(layered([Affine(3, 2), cube], L2()), batch=3)
        assert_same(get_adapter(name).run(case), get_adapter(name).run(case))
        np.testing.assert_allclose(
            get_adapter(name).run(case).grad["W1"], backprop(case).grad["W1"]
        )


class TestGlobalStateStaysAsItWas:
    """Torch's and JAX's own are in their files; this is what both could touch."""

    @each_framework
    def test_random_numbers_of_python_and_numpy(self, name: str) -> None:
        net = layered([Affine(3, 3), RandomizedLeakyReLU()], L2())
        case = Case.random(net, batch=2)
        state = random.getstate(), repr(np.random.get_state())
        get_adapter(name).run(case)
        get_adapter(name).build(net, case.params)
        assert (random.getstate(), repr(np.random.get_state())) == state

    @each_framework
    def test_numpys_errors_and_printing(self, name: str) -> None:
        with np.errstate(all="raise"):
            state = np.geterr(), np.get_printoptions()
            get_adapter(name).run(small())
            assert (np.geterr(), np.get_printoptions()) == state


@each_framework
@each_dtype
def test_one_step_of_the_trainer_is_w_minus_eta_times_the_gradient(name: str, dtype: str) -> None:
    case, eta, rows = small(dtype), 0.5, np.array([3, 0, 4])
    trainer = get_adapter(name).trainer(case, eta)  # type: ignore[attr-defined]
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
