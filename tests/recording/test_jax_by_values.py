"""JAX primitives and functions without a formula are held to differences of their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")


def matrix(dtype: str) -> Any:
    return jnp.asarray(np.random.default_rng(0).standard_normal((4, 4)), dtype)


def positive(a: Any) -> Any:
    return a @ a.T + jnp.eye(4, dtype=a.dtype)


RIGHT: dict[str, Any] = {
    "solve": lambda a: jnp.exp(jnp.linalg.solve(positive(a), a[:, :2])).sum(),
    "inverse": lambda a: jnp.square(jnp.linalg.inv(positive(a))).sum(),
    "cholesky": lambda a: jnp.exp(jnp.linalg.cholesky(positive(a))).sum(),
    "eigh": lambda a: jnp.square(jnp.linalg.eigh(positive(a))[0]).sum(),
    "svd": lambda a: jnp.square(jnp.linalg.svd(a, compute_uv=False)).sum(),
    "qr": lambda a: jnp.square(jnp.linalg.qr(a)[1]).sum(),
    "slogdet": lambda a: jnp.linalg.slogdet(positive(a))[1],
    "running": lambda a: jnp.square(jax.lax.cumlogsumexp(a)).sum(),
}


#: Those that take long to compile.
SLOW = {"inverse", "eigh", "svd", "qr", "slogdet", "running"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in RIGHT]
)
def test_of_jax_s_own(name: str) -> None:
    step = gp.record(RIGHT[name], matrix("float64"))
    report = gp.check(step)
    assert report.exit_code == 0, report.diagnosis()
    assert "by differences of their values alone" in step.coverage_in_words


def test_strictly_they_are_not_judged() -> None:
    step = gp.record(RIGHT["cholesky"], matrix("float64"), strict=True)
    assert gp.check(step).exit_code == 2


@pytest.mark.parametrize("name", ["cholesky", pytest.param("slogdet", marks=pytest.mark.slow)])
def test_in_float32(name: str) -> None:
    report = gp.check(gp.record(RIGHT[name], matrix("float32")))
    assert report.exit_code == 0, report.diagnosis()


HOW: dict[str, Any] = {
    "right": lambda z, d: -z.T @ d @ z.T,
    "sign": lambda z, d: z.T @ d @ z.T,
    "transposed": lambda z, d: -z @ d @ z,
    "factor": lambda z, d: -1.01 * z.T @ d @ z.T,
}


@pytest.mark.parametrize(
    "how",
    [pytest.param(h, marks=pytest.mark.slow) if h in ("sign", "transposed") else h for h in HOW],
)
def test_of_a_function(how: str) -> None:
    @jax.custom_vjp
    def inverse(x: Any) -> Any:
        return jnp.linalg.inv(x)

    inverse.defvjp(lambda x: (inverse(x), inverse(x)), lambda z, d: (HOW[how](z, d),))
    x = matrix("float64") + 3 * jnp.eye(4)
    report = gp.check(gp.record(lambda x: jnp.tanh(inverse(x)).sum(), x))
    assert report.exit_code == (0 if how == "right" else 1)
    if how != "right":
        (wrong,) = [f for _, f in report.findings() if f.parity is False]
        assert wrong.note.startswith("along a line the gradient gives")


def test_a_system_whose_sides_take_its_matrix_too() -> None:
    """The gradient through the factorisation, which the solver keeps, is none."""

    def f(a: Any) -> Any:
        return jnp.square(jnp.linalg.solve(positive(a), jnp.sin(positive(a)))).sum()

    step = gp.record(f, matrix("float64"))
    assert gp.check(step).exit_code == 0
    assert step.by_values == {"custom_linear_solve": 1}


def test_what_draws_is_not_judged() -> None:
    def f(a: Any) -> Any:
        return jax.random.gamma(jax.random.key(0), jnp.abs(a) + 1).sum()

    step = gp.record(f, matrix("float64"))
    assert [u.place.function for u in step.unjudged] == ["random_gamma"]
    assert not [x for x in step.findings if x.parity is False]
