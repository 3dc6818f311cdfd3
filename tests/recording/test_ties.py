"""Ops of frameworks at ties and bounds: what is valid passes, and a gradient outside is accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.recording.calls import findings_of_call

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from torch import nn  # noqa: E402

Given = tuple[list[float], ...]
TORCH: dict[str, tuple[Callable[..., Any], Given]] = {
    "median": (lambda x: x.median(), ([1.0, 1.0, 0.0, 2.0],)),
    "median.dim": (lambda x: x.median(0)[0], ([1.0, 1.0, 0.0, 2.0],)),
    "kthvalue": (lambda x: x.kthvalue(2)[0], ([0.0, 0.0, 0.0, 1.0, 2.0],)),
    "cummin": (lambda x: x.cummin(0)[0], ([1.0, 1.0, 0.0, 0.0],)),
    "clamp": (lambda x: x.clamp(1, 1), ([-3.0, 0.0, 1.0, 2.0],)),
    "clamp.Tensor": (
        lambda x, a, b: x.clamp(a, b),
        ([1.0, 2.0, 3.0, 1.0], [1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 5.0, 1.0]),
    ),
    "_prelu_kernel": (lambda x, a: nn.functional.prelu(x, a), ([0.0, 0.5, -3.0], [0.25])),
}
JAX: dict[str, tuple[Callable[..., Any], Given]] = {
    "cummin": (lambda x: lax.cummin(x, 0), ([1.0, 1.0, 0.0, 0.0],)),
    "cummax": (lambda x: lax.cummax(x, 0, reverse=True), ([1.0, 1.0, 0.0, 1.0],)),
    "clamp": (lambda x: lax.clamp(1.0, x, 1.0), ([0.0, 1.0, 2.0],)),
    "clamp between arrays": (
        lambda x: lax.clamp(jnp.array([1.0, 2, 0]), x, jnp.array([3.0, 3, 3])), ([1.0, 2.0, 3.0],)
    ),
}  # fmt: skip


def of_torch(f: Callable[..., Any], given: Given) -> gp.Recording:
    def loss(*x: Any) -> Any:
        z = f(*x)
        return (z * torch.arange(1.0, 1 + z.numel(), dtype=z.dtype).reshape(z.shape)).sum()

    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in given]
    return gp.record(loss, *given, keep=True)


def of_jax(f: Callable[..., Any], given: Given) -> gp.Recording:
    def loss(*x: Any) -> Any:
        return (f(*x) * jnp.arange(1.0, 1 + len(x[0]))).sum()

    arrays = [jnp.array(x) for x in given]
    return gp.record(loss, *arrays, argnums=tuple(range(len(arrays))), keep=True)


def outside(step: gp.Recording, name: str, by: float) -> set[bool | None]:
    """The parity of the gradients of an op, one of which has an element more at a tie."""
    name = name.split()[0]
    (call,) = (c for c in step.calls if c.place.function.startswith((name, f"aten.{name}")))
    k = next(i for i, o in enumerate(call.inputs) if o.gradient is not None)
    planted = list(call.inputs)
    grown = np.asarray(planted[k].gradient).copy()
    grown[int(np.argmax(grown != 0))] += by
    planted[k] = replace(planted[k], gradient=grown)
    return {f.parity for f in findings_of_call(replace(call, inputs=tuple(planted)))}


@pytest.mark.parametrize("name", TORCH)
def test_pytorch_is_valid_there(name: str) -> None:
    step = of_torch(*TORCH[name])
    assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()
    assert not step.unjudged
    for by in (9.0, -9.0):
        assert False in outside(step, name, by)


@pytest.mark.parametrize("name", JAX)
def test_jax_is_valid_there(name: str) -> None:
    step = of_jax(*JAX[name])
    assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()
    assert not step.unjudged
    for by in (9.0, -9.0):
        assert False in outside(step, name, by)


def test_a_gradient_that_none_of_the_tied_inputs_gets_is_accused() -> None:
    """Both moved by t move the result by t."""
    given = ([1.0, 2.0], [1.0, 0.0], [3.0, 3.0])
    step = of_jax(lambda x, low, high: lax.clamp(low, x, high), given)
    (wrong,) = {f.note for f in step.findings if f.parity is False}
    assert "none of them gets the gradient" in wrong
    apart = of_jax(lambda x, low, high: lax.clamp(low, x, high), ([1.0, 4.0], *given[1:]))
    assert {f.note for f in apart.findings if f.parity is False} == {wrong}
    free = of_jax(lambda x, low, high: lax.clamp(low, x, high), ([1.5, 4.0], *given[1:]))
    assert gp.check(free).exit_code == 0


def test_equal_bounds_that_lose_the_gradient_are_accused() -> None:
    """Below two equal bounds, which move together, PyTorch's gradient goes to none of them."""
    step = of_torch(lambda x, low, high: x.clamp(low, high), ([0.0, 2.0], [1.0, 1.0], [1.0, 3.0]))
    accused = {step.places[f.node].function for f in step.findings if f.parity is False}
    assert accused == {"aten.clamp.Tensor"}


def test_binary_cross_entropy_at_its_ends_names_the_clamp_of_pytorch() -> None:
    t = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)

    def loss(p: Any) -> Any:
        return nn.functional.binary_cross_entropy(p, t, reduction="none")

    step = of_torch(loss, ([1.0, 0.0, 0.5, 0.5],))
    (wrong,) = (f for f in step.findings if f.parity is False)
    assert "max(p (1 - p), 1e-12)" in wrong.note
    assert gp.check(of_torch(loss, ([0.9, 0.1, 0.5, 0.5],))).exit_code == 0
