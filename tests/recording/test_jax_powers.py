"""Powers of JAX at numbers that are negative or zero, and exponents of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import Verdict

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

from .test_jax_planted import planted  # noqa: E402

X = np.array([-1.5, -0.3, 0.0, 0.4, 2.0])
RIGHT: dict[str, Callable[[Any], Any]] = {
    "whole": lambda x: x**2.0,
    "odd": lambda x: jnp.power(x, 3.0),
    "one": lambda x: x**1.0,
    "fraction": lambda x: abs(x) ** 2.5,
    "exponents": lambda x: x ** jnp.array([2.0, 3.0, 2.0, -1.3, 0.0], x.dtype),
    "integers": lambda x: lax.pow(x, jnp.array([2, 3, 0, 1, -2])),
    "zero": lambda x: x + x**0,
    "of zero": lambda x: x + jnp.zeros(5, x.dtype) ** abs(x),
    "negative": lambda x: lax.integer_pow(x + 0.1, -3),
}


def report_of(f: Callable[[Any], Any], dtype: str) -> gp.Report:
    with jax.enable_x64(True):
        return gp.check(gp.record(lambda x: jnp.sum(jnp.sin(f(x))), jnp.asarray(X, dtype)))


@pytest.mark.sample(9)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_powers_pass(name: str, dtype: str) -> None:
    report = report_of(RIGHT[name], dtype)
    assert report, report.diagnosis()


@pytest.mark.parametrize("name", ["whole", "odd", "exponents", "integers"])
def test_a_wrong_slope_is_accused_at_the_power(name: str) -> None:
    jax.clear_caches()
    with planted("pow") as fired:
        report = report_of(RIGHT[name], "float64")
    jax.clear_caches()
    assert fired
    wrong = {f.node.partition("_")[0] for _, f in report.findings() if f.parity is False}
    assert wrong == {"pow"}


def test_the_nan_of_jax_at_0_to_the_power_0_is_accused() -> None:
    report = report_of(lambda x: x**0.0, "float64")
    (wrong,) = [f for _, f in report.findings() if f.parity is False]
    assert (wrong.node, wrong.verdict) == ("pow_1", Verdict.MISMATCH)
    assert "1 element is not finite where the function is" in wrong.note


def test_a_formula_without_a_value_is_undecided_where_a_gradient_is_nan() -> None:
    def f(x: Any) -> Any:
        z = lax.lgamma(x)  # the formula has no slope at 0
        return jnp.sum(z + 0 * jnp.sqrt(z - z))

    report = gp.check(gp.record(f, jnp.array([0.0, 0.5])))
    assert not any(f.parity is False for _, f in report.findings())
