"""`record(..., dtype=)`: a function recorded with copies of its arguments in another format."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp


def precisions(step: gp.Recording) -> set[str]:
    return {call.precision for call in step.calls}


class TestTorch:
    torch = pytest.importorskip("torch")

    def model(self) -> Any:
        self.torch.manual_seed(0)
        nn = self.torch.nn
        return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

    @staticmethod
    def loss(model: Any, batch: dict[str, Any]) -> Any:
        return (model(batch["x"]) - batch["y"]).square().mean()

    def test_the_model_and_the_batch_are_copied(self) -> None:
        model, torch = self.model(), self.torch
        batch = {"x": torch.randn(5, 6), "y": torch.randn(5, 2), "ids": torch.arange(5)}
        before = {name: a.clone() for name, a in model.state_dict().items()}
        step = gp.record(self.loss, model, batch, dtype="float64", keep=True)
        assert precisions(step) == {"float64"}
        assert gp.check(step).exit_code == 0
        assert set(step.leaves) == {name for name, _ in model.named_parameters()}
        assert all(torch.equal(a, before[name]) for name, a in model.state_dict().items())
        assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())
        assert batch["x"].dtype == torch.float32

    def test_beside_the_run_as_it_is(self) -> None:
        batch = {"x": self.torch.randn(5, 6), "y": self.torch.randn(5, 2)}
        args = (self.loss, self.model(), batch)
        report = gp.check([gp.record(*args), gp.record(*args, dtype="float64", name="wide")])
        assert report.exit_code == 0
        assert [(run.case, run.dtype) for run in report.runs] == [
            ("step", "float32"), ("wide", "float64")
        ]  # fmt: skip

    def test_a_tensor_that_is_given_twice_is_copied_once(self) -> None:
        w = self.torch.randn(3, requires_grad=True)
        step = gp.record(lambda a, b: (a.exp() * b[0]).sum(), w, (w,), dtype="float64")
        assert len(step.leaves) == 1
        assert gp.check(step).exit_code == 0

    def test_a_wrong_gradient_is_wrong_in_float64_too(self) -> None:
        torch = self.torch

        class Wrong(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx: Any, d: Any) -> Any:
                return ctx.saved_tensors[0] * d

        x = torch.ones(3, requires_grad=True)
        assert (
            gp.check(gp.record(lambda x: Wrong.apply(x).sum(), x, dtype="float64")).exit_code == 1
        )
        assert x.grad is None


class TestJax:
    jax = pytest.importorskip("jax")

    def test_every_float_of_the_arguments(self) -> None:
        jnp = self.jax.numpy
        params = {"w": jnp.ones((3, 2)), "n": jnp.arange(2)}
        before = self.jax.config.jax_enable_x64

        def loss(p: Any, x: Any) -> Any:
            return jnp.tanh(x @ p["w"] + p["n"]).sum()

        step = gp.record(loss, params, np.ones((4, 3), np.float32), dtype="float64", keep=True)
        assert precisions(step) == {"float64"}
        assert gp.check(step).exit_code == 0
        assert params["w"].dtype == jnp.float32
        assert self.jax.config.jax_enable_x64 == before

    def test_float32_where_float64_is_on(self) -> None:
        with self.jax.enable_x64(True):
            x = self.jax.numpy.linspace(0.0, 1.0, 5)
            step = gp.record(lambda x: self.jax.numpy.exp(x).sum(), x, dtype="float32", keep=True)
        assert precisions(step) == {"float32"}

    def test_the_format_goes_back_after_an_error(self) -> None:
        before = self.jax.config.jax_enable_x64
        with pytest.raises(TypeError, match="scalar"):
            gp.record(lambda x: x * 2, self.jax.numpy.ones(3), dtype="float64")
        assert self.jax.config.jax_enable_x64 == before


@pytest.mark.parametrize("dtype", ["half", "bfloat16", np.float64, 64])
def test_other_formats_are_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"record: dtype is .*; give one of 'float32', 'float64'"):
        gp.record(lambda x: x, 1.0, dtype=dtype)


def test_a_block_has_no_arguments_to_copy() -> None:
    with pytest.raises(TypeError, match="dtype is for a function"):
        gp.record(dtype="float64")  # type: ignore[call-overload]
