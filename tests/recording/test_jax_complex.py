"""JAX functions with complex values, which are not judged; all that is real is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

RNG = np.random.default_rng(0)
W = {"a": jnp.asarray(RNG.normal(size=(6, 6)), "float32"),
     "b": jnp.asarray(RNG.normal(size=(6, 6)), "float32")}  # fmt: skip
X = jnp.asarray(RNG.normal(size=(4, 6)), "float32")


def square(factor: float) -> Callable[[Any], Any]:
    @jax.custom_vjp
    def squared(z: Any) -> Any:
        return z * z

    squared.defvjp(lambda z: (z * z, z), lambda z, d: (factor * d * z,))
    return squared


def spectral(h: Any) -> Any:
    return jnp.sum(jnp.abs(jnp.fft.rfft(h)) ** 2)


def there_and_back(h: Any) -> Any:
    """Real values made of complex ones, which complex ones are made of again."""
    z = jnp.fft.rfft(h)
    z = z * jnp.tanh(jnp.abs(z))
    return jnp.sum(z.real**2) + jnp.sum(jnp.fft.irfft(z) ** 3)


def turned(h: Any) -> Any:
    """A scan that carries a complex number."""

    def step(c: Any, row: Any) -> Any:
        c = c * jnp.exp(1j * row.mean())
        return c, c.real

    c, each = jax.lax.scan(step, jnp.ones((), "complex64"), h)
    return c.imag + jnp.sum(jnp.sin(each))


def sometimes(h: Any) -> Any:
    """A condition inside of a scan, one of whose branches is complex."""

    def step(c: Any, row: Any) -> Any:
        branches = (lambda u: jnp.exp(1j * u).real, lambda u: u * 2)
        return c + jax.lax.cond(row[0] > 0, *branches, row).sum(), None

    return jax.lax.scan(step, 0.0, h)[0]


PARTS = [spectral, there_and_back, turned, sometimes]


@pytest.mark.sample(4)
@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize("factor", [2.0, 1.0], ids=["right", "wrong"])
@pytest.mark.parametrize("part", PARTS)
def test_what_is_real_beside_complex_values_is_judged(part: Any, factor: float, taps: bool) -> None:
    act = square(factor)

    def loss(w: Any, x: Any) -> Any:
        h = act(jnp.sin(x @ w["a"])) @ w["b"]
        return part(h) + jnp.sum(h * h)

    seen = gp.record(loss, W, X, taps=taps)
    accused = {f.node for f in seen.findings if f.parity is False}
    assert accused == ({"squared_1"} if factor == 1 else set())
    assert gp.check(seen).exit_code == (1 if factor == 1 else 2)
    assert {u.why for u in seen.unjudged} == {"complex numbers are not judged"}
    judged = {*seen.places} - {u.place.node for u in seen.unjudged}
    assert {"dot_general_1", "squared_1", "dot_general_2"} <= judged
    assert {*seen.leaves} == {"a", "b"}


@pytest.mark.parametrize("taps", [True, False])
def test_a_wrong_function_whose_gradient_comes_through_complex_values_alone(taps: bool) -> None:
    seen = gp.record(lambda w, x: spectral(square(1.0)(x @ w["a"])), W, X, taps=taps)
    assert {f.node for f in seen.findings if f.parity is False} == {"squared_1"}
    assert seen.coverage_in_words.endswith("not judged: fft (1), abs (1)")


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_a_function_with_complex_values_inside_is_held_to_differences(factor: float) -> None:
    own = jax.custom_vjp(spectral)
    own.defvjp(lambda h: (spectral(h), h), lambda h, d: (factor * d * jax.grad(spectral)(h),))
    seen = gp.record(lambda w, x: own(x @ w["a"]), W, X)
    assert {f.node for f in seen.findings if f.parity is False} == (
        {"spectral_1"} if factor == 2 else set()
    )
    assert seen.coverage == 1.0


def test_a_complex_argument_that_is_not_differentiated() -> None:
    def loss(w: Any, c: Any) -> Any:
        return jnp.sum(jnp.tanh(w["a"]) * jnp.abs(c)) + jnp.sum((w["a"] * c).imag)

    seen = gp.record(loss, W, 1j * X[0] + 1)
    judged = {*seen.places} - {u.place.node for u in seen.unjudged}
    assert "tanh_1" in judged
    assert gp.check(seen).exit_code == 2
