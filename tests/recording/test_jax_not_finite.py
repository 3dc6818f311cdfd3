"""The worst element of a result of JAX that is inf or NaN."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

X = jnp.asarray([2.0, 0.0, 1.0])


def own(f: Any, df: Any) -> Any:
    made = jax.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, d: (d * df(x),))
    return lambda x: made(x).sum()


@pytest.mark.parametrize(("df", "got"), [
    (lambda x: 2 * x * x / x, "nan"), (lambda x: jnp.where(x == 0, jnp.inf, 2 * x), "inf"),
    (lambda x: jnp.where(x == 0, -jnp.inf, 2 * x), "-inf"),
])  # fmt: skip
def test_a_gradient_that_is_not_finite_where_the_formula_is(df: Any, got: str) -> None:
    report = gp.check(gp.record(own(lambda x: x * x, df), X))
    assert report.exit_code == 1
    said = report.diagnosis()
    assert f"index [1]: got {got}, the formula gives 0" in said
    assert "error  " not in said


@pytest.mark.parametrize(("f", "index", "got"), [
    (lambda x: jnp.sqrt(x).sum(), [1], "inf"), (lambda x: jnp.log(x).sum(), [1], "-inf"),
    (lambda x: jnp.log(x - 1.5).sum(), [1], "nan"),
    (lambda x: jnp.exp(50 * x).sum(), [], "inf"),
])  # fmt: skip
def test_an_undecided_result_shows_an_element_that_is_undecided(
    f: Any, index: Any, got: str
) -> None:
    report = gp.check(gp.record(f, X))
    assert report.exit_code == 2
    said = report.diagnosis()
    assert f"index {index}: got {got}, the formula gives" in said
