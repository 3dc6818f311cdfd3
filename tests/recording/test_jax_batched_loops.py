"""Functions of JAX with a derivative of their own and a loop in them that `vmap` batched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.scipy import special  # noqa: E402


def halved(x: Any) -> Any:
    """x divided by 2 until it is at most 1."""
    return lax.while_loop(lambda y: y > 1, lambda y: 0.5 * y, x)


def made(factor: float) -> Any:
    """The same of every element, with this factor on its derivative."""

    @jax.custom_jvp
    def f(x: Any) -> Any:
        return jnp.vectorize(halved)(x)

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return f(x), t * factor * lax.stop_gradient(f(x) / x)

    return f


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_every_entry_takes_its_own_number_of_steps(factor: float, dtype: str) -> None:
    f = made(factor)
    with jax.enable_x64(True):
        x = jnp.asarray([0.3, 1.7, 5.1], dtype)
        report = gp.check(gp.record(lambda x: jnp.sum(jnp.sin(f(x))), x))
    accused = {f.node for _, f in report.findings() if f.parity is False}
    assert accused == (set() if factor == 1.0 else {"f_1"}), report.diagnosis()
    assert factor != 1.0 or report, report.diagnosis()


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["exp1", "expi"])
def test_exponential_integrals_pass(name: str) -> None:
    x = jnp.asarray(np.array([0.3, 2.0]), jnp.float32)
    report = gp.check(gp.record(lambda x: jnp.sum(getattr(special, name)(x)), x))
    assert report, report.diagnosis()
