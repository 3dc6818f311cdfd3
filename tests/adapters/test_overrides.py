"""Functions with a backward pass of their own, judged node by node inside real networks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import gradparity as gp  # noqa: E402
from gradparity.adapters.base import AdapterError  # noqa: E402
from gradparity.comparisons.cases.suite import builtin_cases, gated, shared_zero  # noqa: E402
from gradparity.core import (  # noqa: E402
    L2,
    Activation,
    Affine,
    Case,
    CrossEntropy,
    Kinked,
    LeakyReLU,
    Maxout,
    Multiply,
    ReLU,
    Tanh,
    layered,
)

from .frameworks import assert_same, each_framework  # noqa: E402

Slope = Callable[[Any], Any]


def own_torch_relu(slope: Slope) -> Any:
    """An autograd Function: max(z, 0), and a gradient of its own."""

    class MyReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return z.clamp(min=0)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            (z,) = ctx.saved_tensors
            return dy * slope(z).to(dy.dtype)

    return MyReLU.apply


def own_jax_relu(slope: Slope) -> Any:
    """A function with a custom_vjp: the same."""

    @jax.custom_vjp
    def my_relu(z: Any) -> Any:
        return jnp.maximum(z, 0)

    def forward(z: Any) -> Any:
        return my_relu(z), z

    my_relu.defvjp(forward, lambda z, dy: (dy * slope(z).astype(dy.dtype),))
    return my_relu


OWN = {"torch": own_torch_relu, "jax": own_jax_relu}
WHERE = {"torch": torch.where, "jax": jnp.where}


def slopes(name: str) -> dict[str, Slope]:
    where = WHERE[name]
    return {
        "1 for all": lambda z: where(z > 0, 1.0, 1.0),
        "twice": lambda z: where(z > 0, 2.0, 0.0),
        "a factor": lambda z: where(z > 0, 1 + 1e-4, 0.0),
        "the other side": lambda z: where(z > 0, 0.0, 1.0),
    }


def relu_nets() -> list[Case]:
    deep = layered([Affine(3, 5), ReLU(), Affine(5, 4), ReLU(), Affine(4, 2)], CrossEntropy())
    return [Case.random(deep, name="deep"), gated(), shared_zero()]


def accused(report: gp.Report) -> set[str]:
    return {finding.node for _, finding in report.findings() if finding.parity is False}


@each_framework
class TestAnOwnReLU:
    @pytest.mark.sample(1)
    def test_passes_if_it_is_right(self, name: str) -> None:
        right = OWN[name](lambda z: z > 0)
        ours = gp.get_adapter(name).with_overrides({ReLU: right})
        report = gp.check(relu_nets(), ours)
        assert report, report
        report = gp.check(relu_nets()[0], ours, dtypes=["bfloat16"])
        assert not accused(report) - {"z1", "z2", "z3"}, report  # where JAX sums b in bfloat16

    @pytest.mark.sample(3)
    @pytest.mark.parametrize(
        ("wrong", "dtype"),
        [
            *((wrong, "float64") for wrong in slopes("jax")),
            ("a factor", "float32"),  # the smallest
            *(
                pytest.param(wrong, "float32", marks=pytest.mark.slow)
                for wrong in slopes("jax")
                if wrong != "a factor"
            ),
        ],
    )
    def test_is_named_at_its_node_if_it_is_wrong(self, name: str, wrong: str, dtype: str) -> None:
        ours = gp.get_adapter(name).with_overrides({"y2": OWN[name](slopes(name)[wrong])})
        report = gp.check(relu_nets()[0], ours, dtypes=[dtype])
        assert accused(report) == {"y2"}

    @pytest.mark.sample(1)
    def test_outside_the_kink_is_a_mismatch_and_inside_is_not(self, name: str) -> None:
        for at, valid in ((0.0, True), (0.5, True), (1.0, True), (1.7, False), (-0.1, False)):
            where = WHERE[name]
            own = OWN[name](lambda z, at=at, where=where: where(z == 0, at, where(z > 0, 1.0, 0.0)))
            report = gp.check(
                shared_zero(), gp.get_adapter(name).with_overrides({ReLU: own}), dtypes=["float64"]
            )
            assert bool(report) is valid, (at, report)
            assert all(finding.op.startswith("ReLU") for _, finding in report.findings()
                       if finding.parity is False)  # fmt: skip

    def test_what_it_takes_is_measured_and_not_the_frameworks(self, name: str) -> None:
        own = OWN[name](lambda z: WHERE[name](z == 0, 0.25, WHERE[name](z > 0, 1.0, 0.0)))
        report = gp.check(shared_zero(), gp.get_adapter(name).with_overrides({ReLU: own}))
        said = {f.kinks.usual for _, f in report.findings() if f.kinks and "ReLU" in f.op}
        assert said == {"0.25"}
        by_name = gp.get_adapter(name).with_overrides({"y1": own}, "by name")
        said = {f.kinks.usual for _, f in gp.check(shared_zero(), by_name).findings() if f.kinks}
        assert said == {""} or said == {None}

    def test_two_sets_are_never_confused(self, name: str) -> None:
        """JAX compiles once per network: not once for several functions."""
        case = relu_nets()[0]
        before = gp.get_adapter(name).run(case).grad["x"]
        right, wrong = (OWN[name](s) for s in (lambda z: z > 0, lambda z: z > -9))
        for own, same in ((right, True), (wrong, False), (right, True)):
            trace = gp.get_adapter(name).with_overrides({ReLU: own}).run(case)
            alike = np.array_equal(trace.grad["x"], before)
            assert alike is same

    def test_the_adapter_itself_stays_as_it_was(self, name: str) -> None:
        case = relu_nets()[0]
        before = gp.get_adapter(name).run(case)
        gp.get_adapter(name).with_overrides({ReLU: OWN[name](lambda z: z > 9)}).run(case)
        assert_same(gp.get_adapter(name).run(case), before)

    def test_overrides_twice_adds_up(self, name: str) -> None:
        first = gp.get_adapter(name).with_overrides({ReLU: OWN[name](lambda z: z > 9)})
        second = first.with_overrides(
            {ReLU: OWN[name](lambda z: z > 0), "y1": OWN[name](lambda z: z > 9)}
        )
        assert accused(gp.check(relu_nets()[0], second)) == {"y1"}


@each_framework
class TestKeys:
    def test_a_name_wins_and_a_class_wins_over_its_base(self, name: str) -> None:
        case = Case.random(
            layered([Affine(3, 4), ReLU(), LeakyReLU(), Affine(4, 4), ReLU(), Tanh()], L2())
        )
        tanh = {"torch": torch.tanh, "jax": jnp.tanh}[name]

        def times(factor: float) -> Callable[..., Any]:
            return lambda *y: factor * tanh(y[0])

        keys = {Activation: times(1), Kinked: times(2), ReLU: times(3), "y3": times(4)}
        value = gp.get_adapter(name).with_overrides(keys).run(case).value
        for node, before, factor in (("y1", "z1", 3), ("y2", "y1", 2), ("y3", "z3", 4),
                                     ("y4", "y3", 1)):  # fmt: skip
            np.testing.assert_allclose(value[node], factor * np.tanh(value[before]), rtol=1e-12)

    @pytest.mark.sample(1)
    def test_an_affine_map_is_given_W_as_the_core_has_it(self, name: str) -> None:
        def affine(y: Any, W: Any, b: Any) -> Any:
            assert tuple(W.shape) in ((3, 5), (5, 4), (4, 2))
            return y @ W + b

        ours = gp.get_adapter(name).with_overrides({Affine: affine})
        case = relu_nets()[0]
        assert gp.check(case, ours)
        native = ours.build(case.network, case.params)
        theirs = gp.get_adapter(name).build(case.network, case.params)
        if name == "torch":
            assert list(native.state_dict()) == list(theirs.state_dict())
            theirs.load_state_dict(native.state_dict())
        back = ours.export(case.network, native)
        assert all((back[p] == case.params[p]).all() for p in case.params)
        wrong = gp.get_adapter(name).with_overrides({"z2": lambda y, W, b: y @ (2 * W) + b})
        assert accused(gp.check(case, wrong)) == {"z2"}

    def test_two_inputs(self, name: str) -> None:
        right = gp.get_adapter(name).with_overrides({Multiply: lambda a, b: a * b})
        assert gp.check(gated(), right)
        wrong = gp.get_adapter(name).with_overrides({Multiply: lambda a, b: a * b + 1e-3 * a})
        report = gp.check(gated(), wrong, dtypes=["float64"])
        assert accused(report) == {"m1", "q1"}  # both are products

    @pytest.mark.sample(2)
    @pytest.mark.parametrize("key", ["Div", CrossEntropy])
    def test_the_divergence(self, name: str, key: Any) -> None:
        log_softmax = {"torch": partial(torch.log_softmax, dim=-1), "jax": jax.nn.log_softmax}[name]

        def loss(y: Any, d: Any) -> Any:
            assert y.shape == d.shape
            return -(d * log_softmax(y)).sum(-1)

        case = relu_nets()[0]
        assert gp.check(case, gp.get_adapter(name).with_overrides({key: loss}))
        wrong = gp.get_adapter(name).with_overrides({key: lambda y, d: 1.01 * loss(y, d)})
        assert accused(gp.check(case, wrong)) == {"Div"}

    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            ({3: abs}, "cannot replace 3; give the name of a node"),
            ({int: abs}, "cannot replace <class 'int'>"),
            ({ReLU(): abs}, r"cannot replace ReLU\("),
            ({ReLU: 1.0}, "ReLU: 1.0 cannot be called"),
            ({"y1": None}, "y1: None cannot be called"),
            ({Maxout: abs}, "Maxout is expanded into ops"),
            ([ReLU], r"give a dict such as \{ReLU"),
            (None, r"overrides is None; give a dict such as \{ReLU"),
            ({ReLU: Tanh}, r"ReLU: Tanh is a class; give an instance, Tanh\(\)"),
        ],
    )
    def test_that_are_none_are_refused(self, name: str, overrides: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            gp.get_adapter(name).with_overrides(overrides)

    def test_a_node_that_is_not_there_is_named(self, name: str) -> None:
        ours = gp.get_adapter(name).with_overrides({"h3": abs})
        case = relu_nets()[0]
        for attempt in (
            lambda: ours.run(case),
            lambda: ours.build(case.network, case.params)[0](case.params, case.x),
        ):
            with pytest.raises(
                AdapterError, match=r"unknown node 'h3' in overrides; valid names: \['z1'"
            ):
                attempt()

    @pytest.mark.parametrize(
        ("function", "said"),
        [
            (lambda z: (z, z), r"node 'y1': <lambda> returned a tuple of 2 \("),
            (lambda z: None, r"returned NoneType; return one array of shape \(32, 5\)"),
            (lambda z: z[:, :1], r"returned \w+ of shape \(32, 1\); return one array of shape"),
            (lambda z, w: z, "node 'y1': <lambda> failed .TypeError: .*missing 1 required"),
        ],
    )
    def test_what_a_function_does_wrong_is_said(self, name: str, function: Any, said: str) -> None:
        with pytest.raises(AdapterError, match=said):
            gp.get_adapter(name).with_overrides({"y1": function}).run(relu_nets()[0])


class TestNames:
    def test_say_what_was_replaced(self) -> None:
        own, ours = own_torch_relu(lambda z: z > 0), gp.get_adapter("torch")
        assert ours.with_overrides({ReLU: own}).name == "torch with MyReLU"
        assert ours.with_overrides({ReLU: own, Tanh: torch.tanh}).name == "torch with MyReLU, tanh"
        assert ours.with_overrides({"y1": own}).name == "torch with MyReLU for y1"
        assert ours.with_overrides({ReLU: lambda z: z}).name == "torch with lambda for ReLU"
        assert ours.with_overrides({ReLU: torch.nn.Softsign()}).name == "torch with Softsign"
        assert ours.with_overrides({ReLU: partial(own)}, name="mine").name == "mine"
        jaxs = gp.get_adapter("jax").with_overrides({ReLU: own_jax_relu(lambda z: z > 0)})
        assert jaxs.name == "jax with my_relu"
        assert jaxs.with_overrides({Tanh: jnp.tanh}).name == "jax with my_relu, tanh"
        assert jaxs.run(shared_zero()).adapter == "jax with my_relu"

    def test_two_of_a_framework_stand_side_by_side(self) -> None:
        own = own_torch_relu(lambda z: z > 0)
        report = gp.check(gated(), "torch", gp.get_adapter("torch").with_overrides({ReLU: own}))
        assert report
        assert {run.adapter for run in report.runs} == {"torch", "torch with MyReLU"}


class TestModules:
    def test_a_module_without_parameters_is_fine(self) -> None:
        ours = gp.get_adapter("torch").with_overrides({ReLU: torch.nn.ReLU()})
        assert gp.check(relu_nets(), ours)

    def test_its_buffers_take_the_cases_dtype_and_stay_the_users(self) -> None:
        class Scaled(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("one", torch.ones((), dtype=torch.float16))

            def forward(self, z: Any) -> Any:
                return torch.relu(z) * self.one

        module = Scaled()
        assert gp.check(relu_nets(), gp.get_adapter("torch").with_overrides({ReLU: module}))
        assert module.one.dtype is torch.float16

    def test_one_with_parameters_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"ReLU: PReLU has parameters of its own \(weight\)"):
            gp.get_adapter("torch").with_overrides({ReLU: torch.nn.PReLU()})

    def test_the_class_of_a_function_is_not_its_apply(self) -> None:
        class Mine(torch.autograd.Function):
            pass

        with pytest.raises(TypeError, match=r"Mine is a class; give Mine\.apply"):
            gp.get_adapter("torch").with_overrides({ReLU: Mine})

    def test_the_native_network_is_shown_and_pickled(self) -> None:
        case = relu_nets()[0]
        module = (
            gp.get_adapter("torch")
            .with_overrides({ReLU: torch.relu})
            .build(case.network, case.params)
        )
        assert "(y1): OverrideLayer(relu)" in repr(module)
        again = pickle.loads(pickle.dumps(module))
        x = torch.tensor(case.x)
        np.testing.assert_array_equal(again(x).detach(), module(x).detach())

    def test_what_is_cut_off_is_named_where_it_was_cut(self) -> None:
        for function in (lambda z: torch.relu(z).detach(), lambda z: torch.relu(z.detach())):
            ours = gp.get_adapter("torch").with_overrides({"y2": function})
            assert accused(gp.check(relu_nets()[0], ours)) == {"y2"}
        cut = gp.get_adapter("torch").with_overrides(
            {"Div": lambda y, d: (y - d).detach().sum(-1) ** 2}
        )
        assert "Div" in accused(gp.check(relu_nets()[0], cut))

    def test_in_place_is_named(self) -> None:
        ours = gp.get_adapter("torch").with_overrides({"y1": lambda z: z.relu_()})
        with pytest.raises(AdapterError, match="'y1' changed its input in place"):
            ours.run(relu_nets()[0])


@pytest.mark.slow
@each_framework
def test_every_built_in_case_with_an_own_affine_map(name: str) -> None:
    ours = gp.get_adapter(name).with_overrides({Affine: lambda y, W, *b: y @ W + sum(b)})
    made = [case.make() for case in builtin_cases().values()]
    affine = [c for c in made if any(type(node.op) is Affine for node in c.network.nodes)]
    assert len(affine) > 40
    report = gp.check(affine, ours)
    assert report, report
