"""Features of PyTorch alone: modules, layouts, several functions per op, untouched global state."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradparity import ops  # noqa: E402
from gradparity.adapters import get_adapter  # noqa: E402
from gradparity.adapters.base import AdapterError  # noqa: E402
from gradparity.comparisons.cases.suite import OPS, builtin_cases, gated  # noqa: E402
from gradparity.core import (  # noqa: E402
    L2,
    Affine,
    Case,
    CrossEntropy,
    Max,
    Network,
    Node,
    RandomizedLeakyReLU,
    ReLU,
    Tanh,
    VectorActivation,
    backprop,
    layered,
)

from .frameworks import AT_A_KINK, each_dtype, gradient_at, with_a_named_layer  # noqa: E402

TORCH: Any = get_adapter("torch")
run_at = partial(gradient_at, TORCH)


def autograd_at(function: Callable[[Any], Any], x: Any, d: Any, dtype: str) -> np.ndarray:
    """The same, straight from PyTorch."""
    leaf = torch.tensor(np.array(x, dtype), requires_grad=True)
    (gradient,) = torch.autograd.grad(function(leaf), leaf, torch.tensor(np.array(d, dtype)))
    return gradient.numpy()


class TestTheModule:
    def test_names_and_layouts_are_what_a_torch_user_expects(self) -> None:
        net = with_a_named_layer()
        case = Case.random(net)
        module = TORCH.build(net, case.params)
        state = module.state_dict()
        assert list(state) == ["z1.weight", "z1.bias", "hidden.weight"]
        assert [tuple(t.shape) for t in state.values()] == [(3, 4), (3,), (5, 3)]
        np.testing.assert_array_equal(state["z1.weight"].numpy().T, case.params["W1"])
        np.testing.assert_array_equal(state["hidden.weight"].numpy().T, case.params["W_hidden"])

    def test_is_made_of_torchs_own_layers(self) -> None:
        net = layered([Affine(4, 3), ReLU(), Affine(3, 2), Tanh()], L2())
        module = TORCH.build(net, Case.random(net).params)
        assert isinstance(module, torch.nn.Module)
        assert {name: type(m) for name, m in module.named_children()} == {
            "z1": torch.nn.Linear,
            "y1": torch.nn.ReLU,
            "z2": torch.nn.Linear,
            "y2": torch.nn.Tanh,
        }
        assert [name for name, _ in module.named_children()] == ["z1", "y1", "z2", "y2"]

    def test_its_state_dict_loads_into_a_module_of_ones_own(self) -> None:
        net = layered([Affine(4, 3), Tanh()], L2())
        case = Case.random(net, dtype=np.float32)
        own = torch.nn.ModuleDict({"z1": torch.nn.Linear(4, 3)})
        own.load_state_dict(TORCH.build(net, case.params).state_dict())
        x = torch.tensor(case.x)
        np.testing.assert_array_equal(
            own["z1"](x).detach().numpy(), TORCH.run(case).value["z1"], strict=True
        )

    @pytest.mark.sample(1)
    @each_dtype
    def test_computes_the_output_of_the_trace(self, dtype: str) -> None:
        for name in (*(f"net-{op}" for op in OPS), "gated", "shared-zero"):
            case = builtin_cases()[name].make().astype(dtype)
            if any(step.op.random for step in case.network.steps):
                continue
            Y = TORCH.build(case.network, case.params)(torch.tensor(case.x))
            expected = TORCH.run(case).value[case.network.output]
            np.testing.assert_array_equal(Y.detach().numpy(), expected, strict=True, err_msg=name)

    def test_divergence_is_the_traces(self) -> None:
        case = gated()
        module = TORCH.build(case.network, case.params)
        Div = module.divergence(module(torch.tensor(case.x)), torch.tensor(case.d))
        np.testing.assert_array_equal(Div.detach().numpy(), TORCH.run(case).Div, strict=True)

    def test_takes_one_instance_without_a_batch(self) -> None:
        case = gated()
        module = TORCH.build(case.network, case.params)
        alone = module(torch.tensor(case.x[0]))
        assert alone.shape == (4,)
        np.testing.assert_allclose(
            alone.detach().numpy(), TORCH.run(case).value["z2"][0], rtol=1e-12
        )

    def test_is_trained_like_any_other(self) -> None:
        case = gated()
        module = TORCH.build(case.network, case.params)
        module.divergence(module(torch.tensor(case.x)), torch.tensor(case.d)).mean().backward()
        np.testing.assert_array_equal(module.z1.weight.grad.numpy().T, TORCH.run(case).grad["W1"])
        assert all(p.requires_grad and p.is_leaf for p in module.parameters())
        with torch.no_grad():
            module.z1.weight.add_(1.0)
        exported = TORCH.export(case.network, module)
        np.testing.assert_array_equal(exported["W1"], case.params["W1"] + 1.0)

    def test_runs_in_inference_mode_and_survives_pickling(self, tmp_path: Any) -> None:
        net = layered([Affine(4, 3), Tanh(), Affine(3, 2)], L2())
        case = Case.random(net)
        module = TORCH.build(net, case.params)
        with torch.inference_mode():
            inside = module(torch.tensor(case.x)).numpy()
        np.testing.assert_array_equal(inside, TORCH.run(case).value["z2"])
        torch.save(module.state_dict(), tmp_path / "weights.pt")
        loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
        other = TORCH.build(net, Case.random(net, seed=9).params)
        other.load_state_dict(loaded)
        np.testing.assert_array_equal(TORCH.export(net, other)["W1"], case.params["W1"])


@each_dtype
class TestTwins:
    """PyTorch's functions differ at a kink, and some changed: measured here, never written down."""

    X, D = AT_A_KINK

    @pytest.mark.parametrize(
        ("twin", "function"),
        [
            ("relu", torch.relu),
            ("relu", torch.nn.functional.relu),
            ("maximum", lambda z: torch.maximum(z, torch.zeros((), dtype=z.dtype))),
            ("clamp", lambda z: torch.clamp(z, min=0)),
        ],
        ids=["torch.relu", "F.relu", "maximum", "clamp"],
    )
    def test_of_relu_take_the_slope_that_this_torch_takes(
        self, twin: str, function: Any, dtype: str
    ) -> None:
        got = run_at(ReLU(), self.X, self.D, dtype, twin)
        np.testing.assert_array_equal(got, autograd_at(function, self.X, self.D, dtype))
        slope = got[0, 0] / self.D[0][0]
        assert 0.0 <= slope <= 1.0

    @pytest.mark.parametrize(
        ("twin", "function"),
        [
            ("max", lambda z: z.max(-1, keepdim=True).values),
            ("amax", lambda z: z.amax(-1, keepdim=True)),
        ],
        ids=["max", "amax"],
    )
    def test_of_max_take_the_winner_that_this_torch_takes(
        self, twin: str, function: Any, dtype: str
    ) -> None:
        x = [[1.0, 1.0, 0.0, 1.0], [0.0, -0.0, -1.0, 0.0], [2.0, 3.0, 3.0, -1.0]]
        d = [[1.0], [-2.0], [0.5]]
        got = run_at(Max(), x, d, dtype, twin)
        np.testing.assert_array_equal(got, autograd_at(function, x, d, dtype))
        np.testing.assert_allclose(got.sum(-1), np.ravel(d), rtol=1e-6)

    def test_of_max_over_groups_too(self, dtype: str) -> None:
        x, d = [[1.0, 1.0, 4.0, 4.0, 4.0]], [[1.0, 1.0]]
        for twin in ("max", "amax"):
            alone = [run_at(Max(), [g], [[1.0]], dtype, twin) for g in (x[0][:2], x[0][2:])]
            got = run_at(Max((2, 3)), x, d, dtype, twin)
            np.testing.assert_array_equal(got, np.concatenate(alone, -1))


def in_place(n: int) -> VectorActivation:
    return VectorActivation(
        lambda z: np.maximum(z, 0),
        pullback=lambda dy, z: np.where(z > 0, dy, 0),
        n_in=n,
        n_out=n,
        native={"torch": lambda z: z.relu_()},
    )


class TestInPlace:
    @pytest.mark.parametrize("before", [(), (Affine(3, 3),), (Affine(3, 3), Tanh())])
    def test_functions_are_refused_with_their_node(self, before: tuple[Any, ...]) -> None:
        case = Case.random(layered([*before, in_place(3)], L2()), batch=2)
        name = case.network.output
        with pytest.raises(
            AdapterError, match=rf"node '{name}' changed its input in place.*out-of"
        ):
            TORCH.run(case)

    def test_on_a_value_used_elsewhere_is_refused_too(self) -> None:
        net = Network(
            Node("z1", Affine(3, 3), "x"),
            Node("y1", Tanh(), "z1"),
            Node("u1", in_place(3), "z1"),
            Node("m1", Affine(3, 2), "y1"),
            divergence=L2(),
            output="m1",
        )
        with pytest.raises(AdapterError, match="node 'u1' changed its input in place"):
            TORCH.run(Case.random(net))

    def test_out_of_place_is_fine(self) -> None:
        op = VectorActivation(
            lambda z: np.maximum(z, 0), pullback=lambda dy, z: np.where(z > 0, dy, 0),
            n_in=3, n_out=3, native={"torch": lambda z: z.clone().relu_()},
        )  # fmt: skip
        case = Case.random(layered([Affine(3, 3), op], L2()), batch=2)
        np.testing.assert_allclose(TORCH.run(case).grad["W1"], backprop(case).grad["W1"], 1e-12)


@pytest.fixture
def random_case() -> Case:
    net = layered([Affine(3, 4), RandomizedLeakyReLU(), Affine(4, 2)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=3)


class TestGlobalState:
    """Nothing that a user has set is another afterwards, nor does it change the result."""

    def test_of_the_random_numbers(self, random_case: Case) -> None:
        torch.manual_seed(3)
        before = torch.get_rng_state()
        TORCH.run(random_case)
        TORCH.run_all([random_case, random_case], dtype="float32")
        TORCH.build(random_case.network, random_case.params)
        TORCH.trainer(random_case, 0.1)
        assert torch.equal(torch.get_rng_state(), before)

    def test_of_the_random_numbers_when_a_run_fails(self) -> None:
        net = layered([Affine(3, 3), RandomizedLeakyReLU(), in_place(3)], L2())
        before = torch.get_rng_state()
        with pytest.raises(AdapterError):
            TORCH.run(Case.random(net))
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("enabled", [True, False])
    def test_of_the_grad_mode(self, random_case: Case, enabled: bool) -> None:
        torch.manual_seed(5)
        expected = TORCH.run(random_case)
        with torch.set_grad_enabled(enabled):
            trace = TORCH.run(random_case)
            assert torch.is_grad_enabled() is enabled
            TORCH.build(random_case.network, random_case.params)
            assert torch.is_grad_enabled() is enabled
        for key, g in expected.grad.items():
            np.testing.assert_array_equal(trace.grad[key], g)

    def test_of_inference_mode(self, random_case: Case) -> None:
        expected = TORCH.run(random_case)
        with torch.inference_mode():
            trace = TORCH.run(random_case)
            assert torch.is_inference_mode_enabled()
        np.testing.assert_array_equal(trace.grad["W1"], expected.grad["W1"])

    @pytest.mark.parametrize("default", [torch.float64, torch.float32, torch.float16])
    def test_of_the_default_dtype(self, random_case: Case, default: Any) -> None:
        expected = TORCH.run(random_case)
        was = torch.get_default_dtype()
        torch.set_default_dtype(default)
        try:
            trace = TORCH.run(random_case)
            single = TORCH.run(random_case, dtype="float32")
            assert torch.get_default_dtype() is default
        finally:
            torch.set_default_dtype(was)
        assert (trace.dtype, single.dtype) == (np.float64, np.float32)
        np.testing.assert_array_equal(trace.grad["W1"], expected.grad["W1"])

    def test_of_threads_and_switches(self, random_case: Case) -> None:
        def state() -> tuple[Any, ...]:
            return (
                torch.get_num_threads(),
                torch.get_num_interop_threads(),
                torch.are_deterministic_algorithms_enabled(),
                torch.get_float32_matmul_precision(),
                torch.is_anomaly_enabled(),
                torch.get_default_device(),
            )

        before = state()
        TORCH.run(random_case)
        assert state() == before

    def test_of_the_default_device(self, random_case: Case) -> None:
        """Named on the call, a device wins; the parameters and the inputs are on the same one."""
        expected = TORCH.run(random_case)
        with torch.device("meta"):
            trace = TORCH.run(random_case, device="cpu")
            module = TORCH.build(random_case.network, random_case.params, device="cpu")
            lost = TORCH.build(random_case.network, random_case.params)
            assert torch.get_default_device().type == "meta"
        np.testing.assert_array_equal(trace.grad["W1"], expected.grad["W1"])
        assert {p.device.type for p in module.parameters()} == {"cpu"}
        assert {p.device.type for p in lost.parameters()} == {"meta"}


@pytest.mark.parametrize("name", [n for n in OPS if n != "vector-activation"])
def test_a_module_can_be_pickled(name: str) -> None:
    op, width = OPS[name]
    case = Case.random(layered([op], L2()), batch=3, width=width)
    module = get_adapter("torch").build(case.network, case.params).eval()
    again = pickle.loads(pickle.dumps(module))
    x = torch.tensor(case.x)
    assert torch.equal(again(x), module(x))
    d = torch.tensor(case.desired)
    assert torch.equal(again.divergence(again(x), d), module.divergence(module(x), d))


@pytest.mark.parametrize("accumulate", [False, True])
def test_a_scatter_is_index_put_of_each_sample(accumulate: bool) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (4, 3)) if accumulate else np.argsort(rng.random((4, 6)))[:, :3]
    y, x, dz = rng.standard_normal((4, 6)), rng.standard_normal((4, 3)), rng.standard_normal((4, 6))
    op = ops.Scatter(6, accumulate=accumulate)
    z = op.forward(ids, y, x)
    a, b = (torch.tensor(each, requires_grad=True) for each in (y, x))
    at = torch.arange(4)[:, None], torch.tensor(ids)
    put = a.index_put(at, b, accumulate=accumulate)
    put.backward(torch.tensor(dz))
    _, dy, dx = op.vjp(dz, (ids, y, x), z)
    for ours, theirs in ((z, put.detach()), (dy, a.grad), (dx, b.grad)):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-15)
