"""`jax.nn.relu` and other clamps with a derivative of their own, at many numbers on their kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from gradparity.comparisons.findings.finding import Verdict  # noqa: E402

RNG = np.random.default_rng(0)
#: Whole numbers: hundreds are at 0, 1, 3 and 6 exactly.
WHOLE = RNG.integers(-4, 8, (4, 8, 12, 12))
WEIGHTS = RNG.standard_normal(WHOLE.shape)


def by_jvp(f: Any, slope: Any) -> Any:
    made = jax.custom_jvp(f)
    made.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * slope(*primals)))
    return made


def by_vjp(f: Any, slope: Any) -> Any:
    made = jax.custom_vjp(f)
    made.defvjp(lambda z: (f(z), z), lambda z, d: (d * slope(z),))
    return made


def checked(f: Callable[[Any], Any], dtype: str = "float32", taps: bool = True) -> Any:
    z, weights = jnp.asarray(WHOLE, dtype), jnp.asarray(WEIGHTS, dtype)
    seen = gp.record(lambda z: (f(z) * weights).sum(), z, taps=taps)
    assert seen.unjudged == []
    return seen, gp.check(seen)


@pytest.mark.sample(13)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize(
    "name",
    ["relu", "relu6", "leaky_relu", "elu", "celu", "selu", "hard_tanh", "hard_sigmoid",
     "hard_silu"],
)  # fmt: skip
def test_functions_of_jax_are_right_at_their_kinks(name: str, taps: bool, dtype: str) -> None:
    _, report = checked(getattr(jax.nn, name), dtype, taps)
    assert report.exit_code == 0, report.diagnosis()


def at_zero(slope: float) -> Callable[[Any], Any]:
    return lambda z: jnp.where(z == 0, slope, z > 0).astype(z.dtype)


@pytest.mark.parametrize("how", [by_jvp, by_vjp])
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("f", [lambda z: jnp.maximum(z, 0), lambda z: jnp.maximum(0.0, z)])
def test_a_valid_choice_of_ones_own_is_right(f: Any, slope: float, how: Any) -> None:
    _, report = checked(how(f, at_zero(slope)))
    assert report.exit_code == 0, report.diagnosis()


@pytest.mark.parametrize("how", [by_jvp, by_vjp])
@pytest.mark.parametrize("slope", [2.0, -0.1, float("nan")])
def test_a_slope_that_is_no_choice_is_wrong(slope: float, how: Any) -> None:
    seen, report = checked(how(lambda z: jnp.maximum(z, 0), at_zero(slope)))
    assert report.exit_code == 1
    accused = {seen.places[f.node].function for _, f in report.findings() if f.parity is False}
    assert accused <= {"custom_jvp_call", "custom_vjp_call"}
    assert len(accused) == 1


def of_clamp(low: float, high: float, there: float) -> Callable[[Any], Any]:
    """The slope of a clamp, and a number at its upper bound."""
    return lambda z: jnp.where(z == high, there, (z > low) & (z < high)).astype(z.dtype)


CLAMPS = {
    "relu6": (lambda z: jnp.minimum(jnp.maximum(z, 0), 6), 0.0, 6.0),
    "the other way": (lambda z: jnp.maximum(jnp.minimum(z, 3), -1), -1.0, 3.0),
    "clip": (lambda z: jnp.clip(z, -2, 3), -2.0, 3.0),
    "from above": (lambda z: jnp.minimum(z, 3), -np.inf, 3.0),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("how", [by_jvp, by_vjp])
@pytest.mark.parametrize("name", CLAMPS)
def test_both_kinks_of_a_clamp(name: str, how: Any) -> None:
    f, low, high = CLAMPS[name]
    _, report = checked(how(f, of_clamp(low, high, 0.25)))
    assert report.exit_code == 0, report.diagnosis()
    _, report = checked(how(f, of_clamp(low, high, -1.0)))
    assert report.exit_code == 1
    _, report = checked(how(f, of_clamp(low + 1, high, 1.0)))
    if np.isfinite(low):
        assert report.exit_code == 1


def test_a_wrong_slope_away_from_the_kink_is_wrong_there() -> None:
    _, report = checked(by_jvp(lambda z: jnp.maximum(z, 0), lambda z: jnp.where(z > 0, 1.0, 0.1)))
    (found,) = (f for _, f in report.findings() if f.parity is False)
    assert found.verdict is Verdict.MISMATCH


def test_bounds_that_differ_by_element_are_no_clamp() -> None:
    bounds = jnp.asarray(RNG.uniform(0.1, 2, (12,)), jnp.float32)
    _, report = checked(by_jvp(lambda z: jnp.minimum(z, bounds), lambda z: z < bounds))
    assert report.exit_code == 0, report.diagnosis()
    _, report = checked(by_jvp(lambda z: jnp.minimum(z, bounds), lambda z: z < 2 * bounds))
    assert report.exit_code == 1
