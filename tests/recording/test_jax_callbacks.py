"""Functions of JAX with a derivative of their own that call back to Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402


def called_back(factor: float) -> Any:
    """The sine, by a callback, with this factor on its derivative."""

    @jax.custom_vjp
    def sine(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, d: (factor * d * jnp.cos(x),))
    return sine


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_a_callback_is_held_to_differences_of_its_values(factor: float, dtype: str) -> None:
    sine = called_back(factor)
    with jax.enable_x64(True):
        x = jnp.asarray([0.3, 1.2, 0.7], dtype)
        report = gp.check(gp.record(lambda x: jnp.sum(sine(x) * x), x))
    wrong = {f.node for _, f in report.findings() if f.parity is False}
    assert wrong == (set() if factor == 1.0 else {"sine_1"}), report.diagnosis()
    assert bool(report) == (factor == 1.0), report.diagnosis()
