"""What a JAX function returns beside the loss: no gradient arrives there, so none is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gradparity as gp

jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")


@jax.custom_vjp
def wrong_sine(x: Any) -> Any:
    return jnp.sin(x)


wrong_sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (1.01 * g * jnp.cos(x),))


def seen(f: Callable[[Any], Any], beside: Callable[[Any], Any], taps: bool) -> gp.Report:
    def loss(p: Any) -> Any:
        h = f(p)
        return (h**3).sum(), (beside(h), beside(p))

    return gp.check(gp.record(loss, jnp.linspace(0.0, 1.0, 5), has_aux=True, taps=taps))


def root(x: Any) -> Any:
    """A root of which the derivative is infinite at 0."""
    return jnp.sqrt(x * x)


def root_in_steps(x: Any) -> Any:
    def step(c: Any, each: Any) -> Any:
        return jnp.sqrt(c * each * each), c

    return jax.lax.scan(step, 0.0 * x[0], x)[0]


def root_in_a_branch(x: Any) -> Any:
    return jax.lax.cond(x[0] < 1.0, root, jnp.tanh, x)


BESIDE = {"root": root, "steps": root_in_steps, "branch": root_in_a_branch, "sine": wrong_sine}


@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_is_returned_beside_the_loss_is_right(beside: Any, taps: bool) -> None:
    assert seen(jnp.sin, beside, taps).exit_code == 0


@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_a_wrong_gradient_on_the_way_to_the_loss_is_accused(beside: Any, taps: bool) -> None:
    report = seen(wrong_sine, beside, taps)
    wrong = {f.node for run in report.runs for f in run.findings if f.parity is False}
    assert wrong == {"wrong_sine_1"}
