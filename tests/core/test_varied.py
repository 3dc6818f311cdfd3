"""The spread of rounding errors: against measured errors, against exact propagation, and scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons.measure.varied_pass import varied_pass
from gradparity.core import (
    Affine,
    Case,
    CrossEntropy,
    LinearLoss,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.arithmetic.rounding import SIGMAS, VARIANCE
from gradparity.core.arithmetic.special import digamma, erfcx, erfinv, lgamma, trigamma
from gradparity.core.arithmetic.varied import Noise, Varied
from gradparity.core.network.backprop import backward_pass

U = 2.0**-24
NOISE = Noise.of("float32")


def _case(act: Any, depth: int = 3, width: int = 16, dtype: str = "float32") -> Case:
    hidden = [op for _ in range(depth - 1) for op in (Affine(width, width), act)]
    net = layered([*hidden, Affine(width, 5)], CrossEntropy())
    return Case.random(net, batch=12, seed=depth, dtype=dtype)


@pytest.mark.parametrize("act", [ReLU(), Tanh(), Sigmoid(), Softmax(), LogSoftmax()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_errors_of_a_correct_pass_are_a_few_sigma(act: Any, dtype: str) -> None:
    case = _case(act, dtype=dtype)
    trace = backprop(case)
    reference = backward_pass(varied_pass(case.astype("float64"), Noise.of(dtype))).grad
    assert {*trace.grad} == {*reference} - {"Err"}
    for name in trace.grad:
        want = reference[name]
        error = np.abs(trace.grad[name] - want.value)
        assert np.all(error <= SIGMAS / 2 * want.sigma + 1e-300), name
        if dtype == "float32" and name.startswith("W"):  # and sigma is no wild overestimate
            assert np.sqrt(np.mean(error**2)) > np.sqrt(np.mean(want.sigma**2)) / 50


def test_draws_have_the_variance_that_variances_say_where_errors_are_independent() -> None:
    rng = np.random.default_rng(0)
    y, W = rng.standard_normal((8, 40)), rng.standard_normal((40, 30))
    want = Varied.exactly(y, NOISE) @ W
    drawn = np.stack([(Varied.exactly(y, Noise.of("float32", k)) @ W).spread for k in range(200)])
    ratio = np.sqrt(np.mean(drawn**2)) / np.sqrt(np.mean(want.sigma**2))
    assert 0.97 < ratio < 1.03


def test_shared_errors_show_in_the_draws_only() -> None:
    """y - y: variances add, draws cancel."""
    y = Varied.exactly(np.full(50, 1 / 3), NOISE) * 3.1
    drawn = Varied.exactly(np.full(50, 1 / 3), Noise.of("float32", 0)) * 3.1
    assert np.all((y - y).sigma > 1.4 * y.sigma)
    assert np.all(np.abs((drawn - drawn).full()) < 1e-30)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda z: np.exp(z), np.exp),
        (lambda z: np.tanh(z), lambda z: 1 - np.tanh(z) ** 2),
        (np.sin, np.cos),
        (lambda z: erfinv(0.3 * z), lambda z: 0.15 * np.sqrt(np.pi) * np.exp(erfinv(0.3 * z) ** 2)),
        (lambda z: lgamma(z * z), lambda z: 2 * z * digamma(z * z)),
        (lambda z: digamma(z * z), lambda z: 2 * z * trigamma(z * z)),
        (erfcx, lambda z: 2 * z * erfcx(z) - 2 / np.sqrt(np.pi)),
        (np.cos, lambda z: -np.sin(z)),
        (lambda z: np.hypot(z, 0.5), lambda z: z / np.hypot(z, 0.5)),
        (lambda z: np.arctan2(z, 0.5), lambda z: 0.5 / (z * z + 0.25)),
        (lambda z: np.arctan2(0.5, z), lambda z: -0.5 / (z * z + 0.25)),
        (lambda z: np.logaddexp(z, 0.5), lambda z: 1 / (1 + np.exp(0.5 - z))),
        (lambda z: np.log1p(abs(z)), lambda z: np.sign(z) / (1 + abs(z))),
        (lambda z: z**3, lambda z: 3 * z**2),
        (lambda z: 1 / z, lambda z: -1 / z**2),
        (lambda z: -2 * np.square(z), lambda z: -4 * z),
        (lambda z: np.sqrt(np.maximum(z * z, 0.25)), np.sign),
    ],
)
def test_an_error_of_the_input_is_multiplied_by_the_slope(f: Any, slope: Any) -> None:
    z = np.array([-1.5, 0.7, 2.0])
    large = 1e-3  # far above any rounding
    variance = f(Varied(z, np.full(3, large**2), NOISE)).sigma
    drawn = f(Varied(z, np.full(3, large), Noise.of("float32", 0))).spread
    np.testing.assert_allclose(np.abs(drawn), np.abs(slope(z)) * large, rtol=1e-2)
    assert np.all(variance >= np.abs(slope(z)) * large * 0.7)
    assert np.all(np.sign(drawn) == np.sign(slope(z)))


def test_a_sum_of_n_terms_spreads_as_the_mean_over_their_orders() -> None:
    rng = np.random.default_rng(1)
    t = rng.standard_normal(64)
    orders = np.stack([np.cumsum(rng.permutation(t))[1:] for _ in range(4000)])
    simulated = VARIANCE * U**2 * np.mean(np.sum(orders**2, axis=-1))
    assert np.sum(Varied.exactly(t, NOISE), axis=0).sigma ** 2 == pytest.approx(simulated, rel=0.15)


def test_sorted_terms_spread_further_when_their_order_counts() -> None:
    t = np.sort(np.random.default_rng(2).standard_normal((1, 512)))
    as_random = np.sum(Varied.exactly(t, NOISE), axis=1)
    as_sorted = np.sum(Varied.exactly(t, replace(NOISE, ordered=True)), axis=1)
    assert as_sorted.sigma > 3 * as_random.sigma


@pytest.mark.parametrize("power", [-40, 7, 90])
@pytest.mark.parametrize("seed", [None, 3])
def test_the_spread_scales_exactly_with_the_loss(power: int, seed: int | None) -> None:
    net = layered([Affine(6, 5), Tanh(), Affine(5, 4)], LinearLoss())
    case = Case.random(net, batch=7, seed=0)
    scaled = Case(net, case.params, case.x, np.ldexp(case.d, power))
    one, other = (
        backward_pass(varied_pass(c, Noise.of("float32", seed))).grad for c in (case, scaled)
    )
    scale = power if seed is not None else 2 * power
    for name in (*net.parameter_shapes, "x"):
        want = np.ldexp(one[name].full(), scale)
        np.testing.assert_array_equal(other[name].full(), want)


def test_low_precision_stores_coarsely_and_sums_finely() -> None:
    y, W = np.full((1, 64), 0.5), np.full((64, 1), 0.25)
    bf16, tf32, single = (
        float((Varied.exactly(y, Noise.of(p)) @ W).sigma[0, 0]) / 8
        for p in ("bfloat16", "tf32", "float32")
    )
    assert bf16 == pytest.approx(2.0**-8 * VARIANCE**0.5, rel=1e-3)
    assert single < 10 * U
    assert 2.0**-11 / 10 < tf32 < 2.0**-11  # 64 roundings of the operands, averaged


def test_what_may_overflow_is_not_known() -> None:
    z = Varied.exactly(np.array([60000.0, 3.0]), Noise.of("float16")) * 2.0
    assert z.sigma.tolist()[0] == np.inf
    assert np.isfinite(z.sigma[1])


def test_plain_arrays_and_unknown_functions_are_refused() -> None:
    z = Varied.exactly(np.ones(3), NOISE)
    with pytest.raises(TypeError, match="lose its spread"):
        np.asarray(z)
    with pytest.raises(TypeError, match=r"np\.cbrt"):
        np.cbrt(z)
    with pytest.raises(TypeError, match=r"np\.sort"):
        np.sort(z)
    with pytest.raises(TypeError, match="whole numbers"):
        z**0.5
