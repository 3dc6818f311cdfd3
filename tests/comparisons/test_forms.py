"""Usual forms: what they explain, what they never excuse, and what is said of lost digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Verdict, judge
from gradparity.core import (
    GELU,
    L2,
    Activation,
    Affine,
    Attention,
    Case,
    LayerNorm,
    Maximum,
    Network,
    Node,
    Sigmoid,
    Tanh,
    backprop,
    layered,
)

GRAD = "grad z1 -> y1"
TAIL = np.linspace(-9.0, 9.0, 37)


def judged(
    op: Activation, z: Any, wrong: Callable[[Any, Any], Any], dtype: str = "float64"
) -> Finding:
    """The verdict on dz where z arrives at the op, and `wrong` makes dz from the right one."""
    net = layered([Affine(1, 1), op], L2())
    x = np.asarray(z, float)[:, None]
    params = {"W1": np.ones((1, 1)), "b1": np.zeros(1)}
    case = Case(net, params, x, np.full((len(x), 1), 2.0)).astype(dtype)
    trace = backprop(case)
    dz = trace.grad["z1"]
    dz = np.asarray(wrong(trace, dz), dz.dtype).reshape(dz.shape)
    trace.grad["z1"] = trace.edge_grad["z1", "y1"] = dz
    return {str(f.quantity): f for f in judge(case, trace)}[GRAD]


def textbook(trace: Any, dz: Any) -> Any:
    """dz as most code computes it from the output of tanh."""
    y = trace.value["y1"]
    return trace.grad["y1"] * (1 - y * y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [GELU(), GELU("tanh"), Tanh(), Sigmoid()], ids=str)
def test_the_best_form_is_right(op: Activation, dtype: str) -> None:
    found = judged(op, TAIL, lambda trace, dz: dz, dtype)
    assert found.verdict in (Verdict.EXACT, Verdict.ROUNDING)
    assert found.outside == 0


def test_a_tail_of_gelu_that_is_negated_is_a_mismatch() -> None:
    found = judged(GELU(), TAIL, lambda trace, dz: np.where(trace.value["z1"] < -5.5, -dz, dz))
    assert found.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("factor", [1 + 1e-3, 1 - 1e-3, 1.5, -1.0])
def test_a_tail_of_tanh_that_is_off_is_a_mismatch(factor: float) -> None:
    found = judged(
        Tanh(),
        TAIL,
        lambda trace, dz: np.where(np.abs(trace.value["z1"]) > 4, factor * dz, dz),
    )
    assert found.verdict is Verdict.MISMATCH


def test_a_saturated_tanh_is_lossy_and_says_the_digits() -> None:
    found = judged(Tanh(), [0.5, -1.0, 17.0], textbook, "float32")
    assert found.verdict is Verdict.LOSSY
    assert found.parity is True
    assert "1 - y^2" in found.note
    assert "0.0 of 7.2 digits are left at [2, 0]" in found.note


def test_what_only_a_form_explains_is_not_tested() -> None:
    found = judged(Tanh(), [0.5, -1.0, 17.0], textbook, "float32")
    right = judged(Tanh(), [0.5, -1.0, 17.0], lambda trace, dz: dz, "float32")
    assert found.power is not None
    assert right.power is not None
    assert found.power.untested == 1
    assert right.power.untested == 0
    assert 0 < found.power.tensor <= found.power.median <= found.power.worst < 1e-4


def test_a_form_that_keeps_half_of_the_digits_is_rounding() -> None:
    found = judged(Tanh(), [0.5, -1.0, 3.0], textbook, "float32")
    assert found.verdict is Verdict.ROUNDING
    assert "1 - y^2" not in found.note


def test_a_tensor_without_a_digit_left_is_vacuous() -> None:
    found = judged(Tanh(), [17.0, 18.0, -19.0], textbook, "float32")
    assert found.verdict is Verdict.VACUOUS
    assert "1 - y^2" in found.note


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_that_are_off_by_one_factor_are_not_excused(dtype: str) -> None:
    z = np.linspace(8.5, 8.9, 20) if dtype == "float32" else np.linspace(17, 18, 20)
    assert judged(Tanh(), z, textbook, dtype).parity is True
    found = judged(Tanh(), z, lambda trace, dz: 1.2 * dz, dtype)
    assert found.verdict is Verdict.MISMATCH


def test_equal_inputs_are_off_by_the_factor_of_the_form() -> None:
    """Their errors are equal: this is no factor that somebody forgot."""
    found = judged(Tanh(), np.full(9, 8.0), textbook)
    assert found.parity is True


def test_equal_elements_of_pytorchs_erf_are_not_one_factor() -> None:
    """Its GELU in float32 is off by the error of erf, which is equal for equal inputs."""
    torch = pytest.importorskip("torch")
    z = np.full(9, -3.0)

    def of_torch(trace: Any, dz: Any) -> Any:
        x = torch.tensor(trace.value["z1"], requires_grad=True)
        torch.nn.functional.gelu(x).backward(torch.tensor(trace.grad["y1"]))
        return x.grad.numpy()

    assert judged(GELU(), z, of_torch, "float32").parity is True


def test_a_form_explains_every_element_or_none() -> None:
    def mixed(trace: Any, dz: Any) -> Any:
        return np.where(np.arange(len(dz))[:, None] == 0, 1.001 * dz, textbook(trace, dz))

    found = judged(Tanh(), [0.5, -1.0, 17.0], mixed, "float32")
    assert found.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_lossy(value: float) -> None:
    def broken(trace: Any, dz: Any) -> Any:
        return np.where(np.arange(len(dz))[:, None] == 0, value, textbook(trace, dz))

    found = judged(Tanh(), [0.5, -1.0, 17.0], broken, "float32")
    assert found.verdict is Verdict.MISMATCH


# --- forms of other ops --------------------------------------------------------------------------


def judged_as(right: Case, other: Any) -> dict[str, Finding]:
    """The verdicts on what the same network computes with another implementation of its op."""
    net = Network(Node("y1", other, *right.network.nodes[0].inputs), **_rest_of(right))
    trace = backprop(Case(net, right.params, right.inputs, right.d))
    return {str(f.quantity): f for f in judge(right, trace)}


def _rest_of(case: Case) -> dict[str, Any]:
    inputs = tuple(case.network.inputs)
    return {"divergence": L2(), **({"inputs": inputs} if len(inputs) > 1 else {})}


class ByRelu(Maximum):
    def forward(self, *y: Any) -> Any:
        return y[0] + np.maximum(y[1] - y[0], 0)


class ByRelu2(Maximum):
    def forward(self, *y: Any) -> Any:
        return y[1] + np.maximum(y[0] - y[1], 0)


class ByAbs(Maximum):
    def forward(self, *y: Any) -> Any:
        return 0.5 * (y[0] + y[1] + abs(y[0] - y[1]))


class BySmooth(Maximum):
    def forward(self, *y: Any) -> Any:
        return y[0] + np.log1p(np.exp(y[1] - y[0]))


def maximum_case(dtype: str) -> Case:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 8, 3))
    net = Network(Node("y1", Maximum(), "a", "b"), inputs=("a", "b"), divergence=L2())
    a = np.where(np.arange(3) == 0, abs(b) + abs(a), -1e6 * abs(a))
    return Case(net, {}, {"a": a, "b": b}, np.ones((8, 3))).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", [ByRelu(), ByRelu2(), ByAbs()], ids=lambda f: type(f).__name__)
def test_a_maximum_from_relu_or_abs_is_no_mismatch(form: Any, dtype: str) -> None:
    found = judged_as(maximum_case(dtype), form)
    assert all(f.parity is True for f in found.values())


def test_a_smooth_maximum_is_a_mismatch() -> None:
    case = maximum_case("float64")
    case = Case(case.network, {}, {"a": case.inputs["a"] / 1e6, "b": case.inputs["b"]}, case.d)
    assert judged_as(case, BySmooth())["value y1"].verdict is Verdict.MISMATCH


class OnePass(LayerNorm):
    """Statistics from the sums of x and x^2, as Flax computes them."""

    def _centred(self, x: Any, axes: Any) -> Any:
        mean = x.mean(axis=axes, keepdims=True)
        var = np.maximum((x * x).mean(axis=axes, keepdims=True) - mean * mean, 0)
        return x - mean, self.inverse_deviation(var), mean, var


class WithoutMean(OnePass):
    """The same with a gradient that forgets the mean."""

    def through_statistics(self, dh: Any, c: Any, r: Any, axes: Any) -> Any:
        h = c * r
        return r * (dh - h * (dh * h).mean(axis=axes, keepdims=True))


def norm_case(mean: float, dtype: str) -> Case:
    rng = np.random.default_rng(0)
    net = Network(Node("y1", LayerNorm(16), "x"), divergence=L2())
    x = mean + rng.standard_normal((8, 16))
    params = {name: rng.uniform(0.5, 1.5, p.shape) for name, p in _parameters(net, x).items()}
    return Case(net, params, x, np.ones((8, 16))).astype(dtype)


def _parameters(net: Network, x: Any) -> Any:
    return Case.random(net, batch=len(x), width=x.shape[1]).params


@pytest.mark.parametrize(
    ("mean", "dtype"), [(1e3, "float64"), (30.0, "float64"), (30.0, "float32")]
)
def test_a_one_pass_variance_is_no_mismatch(mean: float, dtype: str) -> None:
    found = judged_as(norm_case(mean, dtype), OnePass(16))
    assert all(f.parity is True for f in found.values())


def test_a_wrong_gradient_beside_a_one_pass_variance_is_a_mismatch() -> None:
    found = judged_as(norm_case(30.0, "float64"), WithoutMean(16))
    wrong = {name for name, f in found.items() if f.verdict is Verdict.MISMATCH}
    assert "grad x" in wrong or "grad x -> y1" in wrong


@pytest.mark.sample(3)
@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saturated_attention_is_right(framework: str, dtype: str) -> None:
    """One form of the softmax overflows there, and says nothing; the others still explain."""
    pytest.importorskip(framework)
    net = Network(Node("y1", Attention(), "q", "k", "v"), divergence=L2(), inputs=("q", "k", "v"))
    rng = np.random.default_rng(0)
    x = {name: 20.0 * rng.standard_normal((3, 5, 3)) for name in "qkv"}
    report = gp.check(Case.random(net, x=x), framework, dtypes=[dtype])
    assert report, str(report)


@pytest.mark.sample(1)
@pytest.mark.parametrize("factor", [-1.0, 2.0, 0.3])
def test_a_form_of_a_saturated_output_is_zero_and_nothing_else(factor: float) -> None:
    """1 - y^2 for y = 1 is exactly 0: a number of the right size there is of no form."""

    def backward(dz: Any, y: Any) -> Any:
        e = np.exp(-2 * np.abs(y))
        odd = np.where((y > 20) & (np.floor(8 * y) % 2 == 0), y.dtype.type(factor), 1)
        return dz * odd * 4 * e / np.square(1 + e)

    assert gp.check_op(np.tanh, backward, reference=Tanh()).exit_code == 1
    right = gp.check_op(np.tanh, lambda dz, y: dz * (1 - np.tanh(y) ** 2), reference=Tanh())
    assert right, str(right)
