"""Faults of a framework's function that show only in another use of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import Affine, BatchNorm, Identity, Max, Op, ReLU, Softmax, Tanh

from own_layers import complaints

Array = Any


def wrong_checks(function: Any, framework: str, like: Op) -> set[str]:
    report = gp.check_op(function, framework, reference=like, dtypes="float64")
    assert report.exit_code == 1
    return {run.case for run, f in report.findings() if f.parity is False}


class TestTorch:
    torch: Any = pytest.importorskip("torch")

    def function(self, forward: Any, backward: Any) -> Any:
        """An autograd.Function with these two methods."""
        members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        return type("Mine", (self.torch.autograd.Function,), members).apply

    def test_running_statistics_are_not_differentiated(self) -> None:
        def forward(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
            return self.torch.nn.functional.batch_norm(x, m, v, g, b, eps=1e-5)

        op = BatchNorm(3, training=False)
        report = gp.check_op(forward, "torch", reference=op, shape=(3, 2))
        assert report, complaints(report)
        assert "frozen_arguments" in {run.case for run, _ in report.findings()}

        def frozen_scale(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
            return forward(x, g.detach(), b, m, v)

        def swapped(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
            return forward(x, g, b, m, v + 1e-3)

        for wrong, quantity in ((frozen_scale, "grad g"), (swapped, "grad y")):
            found = gp.check_op(wrong, "torch", reference=op, shape=(3, 2), dtypes="float64")
            assert quantity in {f.quantity for _, f in found.findings() if f.parity is False}

    def test_another_value_without_autograd(self) -> None:
        def relu(y: Any) -> Any:
            return y.clamp(min=0) * (1.0 if self.torch.is_grad_enabled() else 1.5)

        assert wrong_checks(relu, "torch", ReLU()) == {"undifferentiated"}

    @pytest.mark.parametrize("how", ["data", "numpy"])
    @pytest.mark.parametrize("where", ["forward", "backward"])
    def test_writing_that_counts_no_version(self, where: str, how: str) -> None:
        def spoil(tensor: Any) -> None:
            if how == "data":
                tensor.data.mul_(3.0)
            else:
                tensor.detach().numpy()[...] = 0

        def forward(ctx: Any, y: Any) -> Any:
            ctx.save_for_backward(y.clone())
            z = y.clamp(min=0)
            if where == "forward":
                spoil(y)
            return z

        def backward(ctx: Any, dz: Any) -> Any:
            dy = dz * (ctx.saved_tensors[0] > 0)
            if where == "backward":
                spoil(dz)
            return dy

        own = gp.OwnOp(self.function(forward, backward), "torch", reference=ReLU())
        report = own.checks("float64")["inputs_unchanged"]()
        argument = "argument 1" if where == "forward" else "the cotangent"
        assert report.exit_code == 1
        assert any(f"wrote into {argument}" in f.note for _, f in report.findings())

    def test_what_the_last_call_left_behind(self) -> None:
        kept: list[Any] = []

        def forward(ctx: Any, y: Any) -> Any:
            kept[:] = [y.detach()]
            return y.clamp(min=0)

        def backward(ctx: Any, dz: Any) -> Any:
            return dz * (kept[0] > 0)

        found = wrong_checks(self.function(forward, backward), "torch", ReLU())
        assert found == {"independent_calls"}

    def test_a_frozen_argument(self) -> None:
        def forward(ctx: Any, y: Any, W: Any, b: Any) -> Any:
            ctx.save_for_backward(y, W)
            return y @ W + b

        def backward(ctx: Any, dz: Any) -> Any:
            y, W = ctx.saved_tensors
            factor = 1 if all(ctx.needs_input_grad) else 3
            return dz @ W.T, factor * (y.T @ dz), dz.sum(0)

        mine = self.function(forward, backward)
        assert wrong_checks(mine, "torch", Affine(4, 3)) == {"frozen_arguments"}

    def test_only_where_the_others_are_frozen(self) -> None:
        def forward(ctx: Any, y: Any, W: Any, b: Any) -> Any:
            ctx.save_for_backward(y, W)
            return y @ W + b

        def backward(ctx: Any, dz: Any) -> Any:
            y, W = ctx.saved_tensors
            return dz @ W.T, y.T @ dz, dz.sum(0) * (2 if sum(ctx.needs_input_grad) == 1 else 1)

        mine = self.function(forward, backward)
        assert wrong_checks(mine, "torch", Affine(4, 3)) == {"frozen_arguments"}

    def test_a_cotangent_of_stride_0(self) -> None:
        def forward(ctx: Any, y: Any) -> Any:
            ctx.save_for_backward(y)
            return y.clamp(min=0)

        def backward(ctx: Any, dz: Any) -> Any:
            return dz * (ctx.saved_tensors[0] > 0) * (2 if 0 in dz.stride() else 1)

        assert wrong_checks(self.function(forward, backward), "torch", ReLU()) == {"non_contiguous"}

    @pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
    def test_correct_functions(self, seed: int) -> None:
        torch = self.torch
        amax = lambda y: y.amax(-1, keepdim=True)  # noqa: E731
        for function, like in (
            (torch.relu, ReLU()),
            (lambda y: y, Identity()),
            (torch.tanh, Tanh()),
            (amax, Max()),
            (lambda y: y.max(-1, keepdim=True).values, Max()),
            (lambda y, W, b: torch.nn.functional.linear(y, W.T, b), Affine(4, 3)),
        ):
            report = gp.check_op(function, "torch", reference=like, seed=seed)
            assert report, complaints(report)
            cases = {run.case for run in report.runs}
            assert "compiled" not in cases
            assert ("frozen_arguments" in cases) == (like == Affine(4, 3))


class TestJax:
    jax: Any = pytest.importorskip("jax")

    def tanh(self, primal: float, traced: float = 1.0) -> Any:
        """A custom_vjp with these factors, which are 1 where it is right."""
        jnp = self.jax.numpy
        f = self.jax.custom_vjp(lambda y: primal * jnp.tanh(y))

        def backward(y: Any, g: Any) -> Any:
            factor = traced if isinstance(g, self.jax.core.Tracer) else 1.0
            return (factor * g * (1 - jnp.tanh(y) ** 2),)

        f.defvjp(lambda y: (jnp.tanh(y), y), backward)
        return f

    @pytest.mark.slow
    def test_running_statistics(self) -> None:
        def forward(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
            g, b, m, v = (p[:, None] for p in (g, b, m, v))
            return (x - m) / self.jax.numpy.sqrt(v + 1e-5) * g + b

        op = BatchNorm(3, training=False)
        report = gp.check_op(forward, "jax", reference=op, shape=(3, 2), dtypes="float64")
        assert report, complaints(report)

        def wrong(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
            return forward(x, self.jax.lax.stop_gradient(g), b, m, v)

        found = gp.check_op(wrong, "jax", reference=op, shape=(3, 2), dtypes="float64")
        assert {f.quantity for _, f in found.findings() if f.parity is False} == {"grad g"}

    def test_another_primal(self) -> None:
        found = wrong_checks(self.tanh(1.5), "jax", Tanh())
        assert found == {"undifferentiated", "compiled"}

    def test_another_gradient_when_traced(self) -> None:
        assert wrong_checks(self.tanh(1.0, 1.001), "jax", Tanh()) == {"compiled"}

    def correct(self) -> dict[str, tuple[Any, Op]]:
        jax, jnp = self.jax, self.jax.numpy
        return {
            "custom_vjp": (self.tanh(1.0), Tanh()),
            "relu": (jax.nn.relu, ReLU()),
            "maximum": (lambda y: jnp.maximum(y, 0), ReLU()),
            "softmax": (jax.nn.softmax, Softmax()),
            "max": (lambda y: y.max(-1, keepdims=True), Max()),
            "affine": (lambda y, W, b: y @ W + b, Affine(4, 3)),
        }

    @pytest.mark.sample(1)
    @pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
    @pytest.mark.parametrize(
        "name",
        [
            "custom_vjp", "max",
            *(pytest.param(n, marks=pytest.mark.slow) for n in ("affine", "maximum", "softmax")),
            pytest.param("relu", marks=pytest.mark.slow),
        ],
    )  # fmt: skip
    def test_correct_functions(self, name: str, seed: int) -> None:
        function, like = self.correct()[name]
        report = gp.check_op(function, "jax", reference=like, seed=seed)
        assert report, complaints(report)
        cases = {run.case for run in report.runs}
        assert {"compiled", "undifferentiated"} <= cases
        assert "frozen_arguments" not in cases


def test_an_adapter_that_offers_none_of_it() -> None:
    """The other checks are as always."""

    class Plain:
        name = "plain"

        def versions(self) -> dict[str, str]:
            return {}

        def vjp(self, function: Any, arguments: Any, dz: Array) -> Any:
            return function(*arguments), (dz * (arguments[0] > 0),)

    report = gp.check_op(lambda y: np.maximum(y, 0), Plain(), reference=ReLU())
    assert report, complaints(report)
    cases = [run.case for run in report.runs]
    assert cases[::2] == [
        name for name in gp.OwnOp(np.tanh, lambda dz, y: dz, reference=ReLU()).checks()
        if name != "results_kept"
    ]  # fmt: skip
