"""Functions of JAX with a derivative of their own, held to the primitives of their forward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

#: Name -> a function of one array, its derivative, and a wrong derivative.
ONE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "cube": (lambda x: x**3, lambda x: 3 * x * x, lambda x: x * x),
    "swish": (
        lambda x: x * jax.nn.sigmoid(x),
        lambda x: jax.nn.sigmoid(x) * (1 + x * (1 - jax.nn.sigmoid(x))),
        jax.nn.sigmoid,
    ),
    "gaussian": (lambda x: jnp.exp(-x * x), lambda x: -2 * x * jnp.exp(-x * x),
                 lambda x: -x * jnp.exp(-x * x)),
    "tanh": (jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2, lambda x: 1 - jnp.tanh(x)),
    "softplus": (lambda x: jnp.log1p(jnp.exp(x)), jax.nn.sigmoid, lambda x: 1 - jax.nn.sigmoid(x)),
    "safe root": (lambda x: jnp.sqrt(1 + x * x), lambda x: x / jnp.sqrt(1 + x * x),
                  lambda x: 1 / jnp.sqrt(1 + x * x)),
    "sine": (lambda x: jnp.sin(3 * x), lambda x: 3 * jnp.cos(3 * x), lambda x: jnp.cos(3 * x)),
    "rational": (lambda x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2,
                 lambda x: 1 / (1 + x * x)),
    "branch": (
        lambda x: jax.lax.cond(x.sum() > 100, jnp.exp, jnp.cos, x), lambda x: -jnp.sin(x), jnp.sin,
    ),
    "scan": (
        lambda x: jax.lax.scan(lambda c, _: (c * x, None), x, None, length=3)[0],
        lambda x: 4 * x**3, lambda x: 3 * x**3,
    ),
}  # fmt: skip


def by_vjp(f: Any, df: Any) -> Any:
    made = jax.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, d: (d * df(x),))
    return made


def by_jvp(f: Any, df: Any) -> Any:
    made = jax.custom_jvp(f)
    made.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * df(*primals)))
    return made


def report_of(f: Any, *args: Any) -> Any:
    """The report, after its coverage was found to be whole."""
    seen = gp.record(
        lambda *xs: (jnp.sin(f(*xs)) * 2).sum(), *args, argnums=tuple(range(len(args)))
    )
    assert seen.unjudged == []
    return seen, gp.check(seen)


X = np.random.default_rng(0).uniform(0.3, 1.2, (2, 3)).astype(np.float32)


@pytest.mark.parametrize("how", [by_vjp, by_jvp])
@pytest.mark.parametrize("name", ONE)
def test_a_right_one_passes_and_a_wrong_one_is_named(name: str, how: Any) -> None:
    f, right, wrong = ONE[name]
    _, report = report_of(how(f, right), jnp.asarray(X))
    assert report.exit_code == 0, report.diagnosis()
    seen, report = report_of(how(f, wrong), jnp.asarray(X))
    assert report.exit_code == 1
    accused = {g.node for _, g in report.findings() if g.parity is False}
    assert {seen.places[node].function for node in accused} <= {
        "custom_vjp_call",
        "custom_jvp_call",
    }
    assert len(accused) == 1


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_an_argument_without_derivative_and_residuals(factor: float) -> None:
    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    def power(x: Any, n: int) -> Any:
        return x**n

    power.defvjp(lambda x, n: (x**n, (x, x * 2)),
                 lambda n, kept, d: (factor * d * n * kept[0] ** (n - 1),))  # fmt: skip
    _, report = report_of(lambda x: power(x, 3), jnp.asarray(X))
    assert report.exit_code == (0 if factor == 1 else 1)


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_several_results(factor: float) -> None:
    @jax.custom_jvp
    def both(x: Any, y: Any) -> Any:
        return x * y, x + y

    @both.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x, y), (t, u) = primals, tangents
        return both(x, y), (factor * t * y + x * u, t + u)

    _, report = report_of(lambda x, y: sum(both(x, y)), jnp.asarray(X), jnp.asarray(1 + X))
    assert report.exit_code == (0 if factor == 1 else 1)
