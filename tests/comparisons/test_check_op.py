"""check_op: correct layers pass, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.adapters.base import AdapterError
from gradparity.comparisons import Verdict
from gradparity.core import (
    Affine,
    Identity,
    Max,
    Multiply,
    Op,
    RandomizedLeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)

from own_layers import (
    complaints,
    linear_backward,
    missing,
    of_the_core,
    own_ops,
    relu,
    relu_backward,
    sigmoid,
    softmax,
    softmax_backward,
)

Array = Any
OWN = own_ops()


class TestCorrect:
    """Correct functions cause no false alarm."""

    def test_every_op_of_the_suite_has_a_pair(self) -> None:
        assert not missing()

    @pytest.mark.sample(4)
    @crossed("name, seed", list(OWN), [0, 1], every=2)
    def test_independent_numpy(self, name: str, seed: int) -> None:
        own = OWN[name]
        report = own.report(seed=seed, name=name)
        assert report, complaints(report)
        assert {run.dtype for run in report.runs} == {"float64", "float32"}
        assert {run.adapter for run in report.runs} == {name}

    @pytest.mark.sample(5)
    @crossed(
        "name, dtype",
        [name for name in OWN if not OWN[name].reference.random],
        ["float64", "float32"],
        every=2,
    )
    def test_the_cores_own_formulas(self, name: str, dtype: str) -> None:
        own, pair = OWN[name], of_the_core(OWN[name].reference)
        report = gp.check_op(
            *pair, reference=own.reference, width=own.width, seed=5, dtypes=(dtype,)
        )
        assert report, complaints(report)

    @pytest.mark.sample(3)
    @pytest.mark.parametrize("name", ["affine", "relu", "softmax", "multiply", "max-even"])
    def test_low_precision(self, name: str) -> None:
        own = OWN[name]
        pair = of_the_core(own.reference)
        report = gp.check_op(*pair, reference=own.reference, dtypes=("tf32", "float16", "bfloat16"))
        assert [run.dtype for run in report.runs[:3]] == ["tf32", "float16", "bfloat16"]
        bad = {(run.dtype, f.quantity, f.verdict) for run, f in report.findings() if not f.parity}
        # NumPy adds up float16 in float16.
        assert bad <= {("float16", "grad b", Verdict.IMPRECISE)}, complaints(report)

    def test_the_random_op_is_judged_on_the_slopes_it_drew(self) -> None:
        own = OWN["rrelu"]
        report = gp.check_op(own.forward, own.backward, reference=own.reference)
        assert report
        twice = {"determinism", "independent_calls", "linearity", "batch_split", "permutation"}
        assert set(report.skipped) == twice
        assert "draws new numbers" in report.skipped["determinism"]
        # Slopes outside of the range are no draw of it.
        wrong = gp.check_op(lambda y: 1.5 * y, lambda dz: 1.5 * dz, reference=RandomizedLeakyReLU())
        assert wrong.exit_code == 1


# Correct, but unusual ----------------------------------------------------------------------------


def in_blocks(y: Array, W: Array, b: Array) -> Array:
    """Two accumulators, from the last column to the first."""
    z = np.zeros((len(y), W.shape[1]), y.dtype)
    for rows in (slice(None, None, -2), slice(-2, None, -2)):
        z = z + sum(np.outer(y[:, i], W[i]) for i in range(len(W))[rows])
    return z + b


def one_by_one(dz: Array, y: Array, W: Array, b: Array) -> Any:
    """Instance after instance, the last one first."""
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for t in reversed(range(len(y))):
        dW += np.outer(y[t], dz[t])
        db += dz[t]
    return np.array([[row @ w for w in W] for row in dz], dz.dtype), dW, db


def flushed(array: Array) -> Array:
    """As XLA on a CPU: what is subnormal is zero."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, 0, array).astype(array.dtype)


def frozen(array: Array) -> Array:
    array = np.array(array, order="F")
    array.flags.writeable = False
    return array


class Holding:
    """A layer that keeps its last input."""

    def forward(self, y: Array) -> Array:
        self.y = y
        return np.maximum(y, 0)

    def backward(self, dz: Array) -> Array:
        return dz * (self.y > 0)


class WithSwitch(Holding):
    """A backward function with more arguments, all of which have defaults."""

    def backward(self, dz: Array, retain: bool = False) -> Array:
        return super().backward(dz)


_switch = WithSwitch()
UNUSUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any], Op]] = {
    "blocks": (in_blocks, one_by_one, Affine(9, 4)),
    "float64 inside": (
        lambda y, W, b: (y.astype(np.float64) @ W + b).astype(y.dtype),
        linear_backward,
        Affine(20, 4),
    ),
    "views": (lambda y: y[:], lambda dz, y: dz[:, ::-1][:, ::-1], Identity()),
    "the argument itself": (lambda y: y, lambda dz, y: dz, Identity()),
    "read-only and Fortran": (
        lambda y: frozen(relu(y)),
        lambda dz, y: frozen(relu_backward(dz, y)),
        ReLU(),
    ),
    "a slope of one half at the kink": (
        relu,
        lambda dz, y: dz * np.heaviside(y, y.dtype.type(0.5)),
        ReLU(),
    ),
    "ties shared": (OWN["max"].forward, OWN["max-even"].backward, Max()),
    "the last of those tied": (
        OWN["max"].forward,
        lambda dz, y: OWN["max"].backward(dz, y[:, ::-1])[:, ::-1],
        Max(),
    ),
    "subnormals flushed": (
        lambda y: flushed(sigmoid(flushed(y))),
        lambda dz, y: flushed(dz * flushed(sigmoid(flushed(y)) * sigmoid(-flushed(y)))),
        Sigmoid(),
    ),
    "defaults": (_switch.forward, _switch.backward, ReLU()),
    "warnings": (
        lambda y: 1 / (1 + np.exp(-y)),  # overflows, to a result that is right
        lambda dz, y: dz * sigmoid(y) * sigmoid(-y),
        Sigmoid(),
    ),
    "clipped at 500": (
        lambda y: 1 / (1 + np.exp(-np.clip(y, -500, 500))),
        lambda dz, y: dz * sigmoid(y) * (1 - sigmoid(y)),
        Sigmoid(),
    ),
    "a list": (OWN["multiply"].forward, OWN["multiply"].backward, Multiply()),
    "a tuple of one": (softmax, lambda dz, y: (softmax_backward(dz, y),), Softmax()),
}


@pytest.mark.sample(6)
@crossed("name, seed", list(UNUSUAL), [0, 3])
def test_what_is_right_but_unusual_is_not_accused(name: str, seed: int) -> None:
    forward, backward, like = UNUSUAL[name]
    report = gp.check_op(forward, backward, reference=like, seed=seed)
    assert report, complaints(report)


def test_another_choice_at_a_kink_is_shown() -> None:
    forward, backward, like = UNUSUAL["a slope of one half at the kink"]
    report = gp.OwnOp(forward, backward, reference=like).checks()["at_kinks"]()
    (found,) = [f for run, f in report.findings() if run.dtype == "float64" and f.kinks]
    assert found.verdict is Verdict.SUBGRADIENT
    assert found.kinks is not None
    assert list(found.kinks.taken) == ["0.5"]


# Layers that keep what they were given -----------------------------------------------------------


class Linear:
    """A course's layer: W is (n_out, n_in), b (n_out, 1), and gradients are attributes."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.W, self.b = np.zeros((n_out, n_in)), np.zeros((n_out, 1))

    def forward(self, A: Array) -> Array:
        self.A = A
        return A @ self.W.T + self.b.T

    def backward(self, dLdZ: Array) -> Array:
        self.dLdW, self.dLdb = dLdZ.T @ self.A, dLdZ.sum(axis=0)[:, np.newaxis]
        return dLdZ @ self.W


def test_a_course_layer_in_another_layout() -> None:
    layer = Linear(4, 3)

    def forward(y: Array, W: Array, b: Array) -> Array:
        layer.W, layer.b = W.T, b[:, None]
        return layer.forward(y)

    def backward(dz: Array) -> Any:
        dy = layer.backward(dz)
        return dy, layer.dLdW.T, layer.dLdb[:, 0]

    report = gp.check_op(forward, backward, reference=Affine(4, 3))
    assert report, complaints(report)


def test_bound_methods_of_a_layer() -> None:
    layer = Holding()
    own = gp.OwnOp(layer.forward, layer.backward, reference=ReLU())
    assert own.name == "Holding"
    assert own.checks()["random_points"]()


# Frameworks --------------------------------------------------------------------------------------


class Differentiating:
    """An adapter by its one method that counts here: PyTorch differentiates the function."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        import torch

        return {"torch": torch.__version__}

    def vjp(self, function: Any, arguments: Any, dz: Array) -> tuple[Array, tuple[Array, ...]]:
        import torch

        given = [torch.from_numpy(np.ascontiguousarray(a)).requires_grad_() for a in arguments]
        z = function(*given)
        found = torch.autograd.grad(z, given, torch.from_numpy(np.ascontiguousarray(dz)))
        return z.detach().numpy(), tuple(g.numpy() for g in found)


class TestDifferentiated:
    @pytest.mark.sample(2)
    @pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "affine", "multiply", "max"])
    def test_by_a_framework(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        functions = {
            "relu": torch.relu,
            "gelu": torch.nn.functional.gelu,
            "softmax": lambda y: torch.softmax(y, -1),
            "affine": lambda y, W, b: torch.nn.functional.linear(y, W.T, b),
            "multiply": torch.mul,
            "max": lambda y: y.max(-1, keepdim=True).values,
        }
        like = OWN[name].reference
        report = gp.check_op(functions[name], Differentiating(), reference=like, seed=2)
        assert report, complaints(report)
        assert report.environment["torch"] == torch.__version__

    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_by_the_name_of_an_adapter(self, framework: str) -> None:
        pytest.importorskip(framework)
        if not hasattr(gp.get_adapter(framework), "vjp"):
            pytest.skip(f"the adapter {framework!r} differentiates no functions yet")
        report = gp.check_op(lambda a, b: a * b, framework, reference=Multiply())
        assert report, complaints(report)
        assert framework in report.environment
        double = "float64"
        wrong = gp.check_op(
            lambda y: y * (y > 0) * 1.001, framework, reference=ReLU(), dtypes=double
        )
        assert wrong.exit_code == 1

    def test_a_custom_function_that_is_wrong(self) -> None:
        torch = pytest.importorskip("torch")

        class Guided(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, y: Any) -> Any:
                ctx.save_for_backward(y)
                return y.clamp(min=0)

            @staticmethod
            def backward(ctx: Any, dz: Any) -> Any:
                (y,) = ctx.saved_tensors
                return dz.clamp(min=0) * (y > 0)

        report = gp.check_op(Guided.apply, Differentiating(), reference=ReLU())
        assert report.exit_code == 1
        assert any("guided" in said for said in complaints(report))

    def test_what_it_raises_is_a_finding(self) -> None:
        pytest.importorskip("torch")
        report = gp.check_op(np.tanh, Differentiating(), reference=Tanh(), dtypes="float64")
        assert report.exit_code != 0
        assert "raised" in complaints(report)[0]

    def test_an_adapter_that_is_not_there(self) -> None:
        with pytest.raises(AdapterError, match="no adapter is called 'tensorflow'"):
            gp.check_op(np.tanh, "tensorflow", reference=Tanh())
