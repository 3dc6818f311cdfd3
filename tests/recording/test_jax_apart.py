"""Recordings of JAX functions without taps: each equation is evaluated and differentiated alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core.network.calls import Call, Listener, Sum

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)


@jax.custom_vjp
def cube(x: Any) -> Any:
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, d: (3 * d * x * x,))


@jax.custom_vjp
def wrong_cube(x: Any) -> Any:
    return x**3


wrong_cube.defvjp(lambda x: (x**3, x), lambda x, d: (2 * d * x * x,))


def of_everything(w: Any, function: Any = cube) -> Any:
    """Calls, functions with derivatives of their own, conditions, and a scan that holds all."""

    def step(carry: Any, i: Any) -> Any:
        carry = jnp.tanh(carry @ w + i)
        taken = jax.lax.cond(i > 1, lambda c: function(c).sum(), lambda c: (c**2).sum(), carry)
        return carry, taken

    last, each = jax.lax.scan(step, jax.nn.softmax(w), jnp.arange(4.0))
    total = jax.lax.cond(each.sum() > 0, lambda a: a.sum(), lambda a: -a.mean(), each)
    whole = jax.jit(jnp.mean)(jax.checkpoint(jnp.exp)(function(w)))
    return total + whole + jax.lax.stop_gradient(last).sum() * w[0, 0]


def verdicts(recording: Any) -> dict[tuple[str, str], Any]:
    found = gp.check(recording).findings()
    return {(f.node, f.quantity): f.parity for _, f in found}


@pytest.mark.sample(1)
@pytest.mark.parametrize("function", [cube, wrong_cube], ids=["right", "wrong"])
def test_the_same_is_judged_as_with_taps(function: Any) -> None:
    together, apart = (
        gp.record(lambda w: of_everything(w, function), jnp.asarray(W), taps=taps)
        for taps in (True, False)
    )
    assert apart.coverage == 1.0
    assert apart.coverage_in_words == together.coverage_in_words
    assert verdicts(apart) == verdicts(together)
    assert gp.check(apart).exit_code == (function is wrong_cube)


class Kept(Listener):
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.sums: list[Sum] = []

    def called(self, call: Call) -> None:
        self.calls.append(call)

    def summed(self, total: Sum) -> None:
        self.sums.append(total)


def test_numbers_are_those_of_the_program_outside_of_jit() -> None:
    from gradparity.adapters.jax.record.recorder import observe

    def f(w: Any) -> Any:
        h = jnp.tanh(w @ w.T)
        return -jax.nn.log_softmax(h * jnp.exp(w) + w)[:, 1].mean()

    kept, w = Kept(), jnp.asarray(W)
    observe(kept, f, (w,), taps=False)
    value, gradient = jax.value_and_grad(f)(w)
    (final,) = (total for total in kept.sums if total.final)
    np.testing.assert_array_equal(final.got, gradient)
    np.testing.assert_array_equal(kept.calls[-1].z[0], value)


def test_a_leaf_that_the_loss_has_no_gradient_by() -> None:
    def f(p: Any) -> Any:
        return jnp.exp(p["a"]).sum() + jax.lax.stop_gradient(p["b"]).sum()

    seen = gp.record(f, {"a": jnp.ones(3), "b": jnp.ones(2), "c": jnp.ones(2)}, taps=False)
    assert gp.check(seen).exit_code == 0


def test_the_result_may_be_the_leaf() -> None:
    seen = gp.record(lambda x: x, jnp.float32(2), taps=False)
    assert gp.check(seen).exit_code == gp.check(gp.record(lambda x: x, jnp.float32(2))).exit_code


def test_it_is_for_jax() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="taps"):
        gp.record(lambda x: x.sum(), torch.ones(3, requires_grad=True), taps=False)
    with pytest.raises(TypeError, match="taps"):
        gp.record(lambda x: x.sum(), jnp.ones(3), taps=1)  # type: ignore[call-overload]
