"""The rules of `Bounded`, elementwise, against 60 digits and float32; and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradparity.core import Bounded, Rounding
from gradparity.core.arithmetic.arrays import erf, usual
from gradparity.core.arithmetic.bounded import supported
from gradparity.core.arithmetic.rounding import Forms
from gradparity.core.arithmetic.special import (
    digamma,
    erfcx,
    erfinv,
    i0e,
    i0e_less_i1e,
    i1e_ratio,
    lgamma,
    ndtri,
    trigamma,
)

from .oracle import F32, F64, TINY, Real, exactly, inside

# --- what is refused -------------------------------------------------------------------------

X = exactly(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    "use",
    [
        lambda: np.cosh(X),
        lambda: np.add.reduce(X),
        lambda: np.add(X, X, where=np.ones((2, 3), bool)),
        lambda: np.multiply.outer(X, X),
        lambda: np.cbrt(X),
        lambda: X // 2,
        lambda: np.prod(X, axis=0),
        lambda: np.einsum("ij->i", X),
        lambda: np.linalg.norm(X),
        lambda: np.median(X),
        lambda: np.sort(X),
    ],
)
def test_what_has_no_rule_raises_naming_what_has(use):
    with pytest.raises(
        TypeError,
        match=r"no rounding bound for np\.[\w.]+(?: with where=)?; use .*'expand_dims'.*'where'",
    ):
        use()


def test_it_never_becomes_a_plain_array():
    for use in (lambda: np.asarray(X), lambda: np.array([X, X]), lambda: np.float64(X)):
        with pytest.raises(TypeError, match=r"lose its bound.*concatenate"):
            use()
    with pytest.raises(TypeError):
        float(X)
    with pytest.raises(TypeError):
        X[0, 0] = 1.0  # nothing writes in place
    with pytest.raises(TypeError):
        np.zeros((2, 3))[:] = X


def test_writing_in_place_is_refused():
    x = exactly(np.ones(2))
    said = r"np.{} was called to write in place; do not write in place \(no out=, no a \*= b\)"
    with pytest.raises(TypeError, match=said.format("add")):
        x += 1
    with pytest.raises(TypeError, match=said.format("multiply")):
        np.multiply(x, x, out=np.zeros(2))
    with pytest.raises(TypeError, match=said.format("add")):
        np.add.at(np.zeros(2), [0], x)
    assert x.value.tolist() == [1, 1]


def test_the_supported_functions_are_listed():
    assert {"exp", "matmul", "where", "concatenate", "sum"} <= set(supported())


# --- data and constants ----------------------------------------------------------------------


def test_data_is_exact_but_for_subnormals_which_may_be_flushed():
    x = exactly(np.array([1.0, 0.1, 0.0, -0.0, TINY, TINY / 4, -TINY / 8], np.float32))
    assert x.full_error().tolist() == [0, 0, 0, 0, 0, TINY / 4, TINY / 8]
    assert not np.ndim(exactly(np.ones(3)).error)


@pytest.mark.parametrize(
    ("constant", "rounded"),
    [(0.01, True), (1 / 3, True), (1e30, True), (0.5, False), (2.0, False), (1, False)],
)
def test_constants_are_rounded_data_unless_short(constant, rounded):
    product = exactly(np.array([1.0])) * constant
    exact = exactly(np.array([1.0])) * exactly(np.array([float(constant)]))
    more = product.full_error()[0] - exact.full_error()[0]
    if rounded:  # +- u of the constant, and what multiplying makes of that
        assert 1.0 <= more / (F32.u * abs(constant)) <= 1.0 + 4 * F32.u + 1e-6
    else:
        assert more <= 0  # one power of two scales without rounding
    with np.errstate(over="ignore"):
        given = np.float32(constant)
    if np.isfinite(given):
        assert inside(np.array([given]), product).all()


def test_the_two_units_of_a_rounding():
    assert F32.unit == 2.0**-24
    assert F32.u == 2.0**-24 + 2.0**-53
    assert F64.u == 2.0**-52
    assert F32.gamma(10) == 10 * F32.u / (1 - 10 * F32.u)
    half = Rounding.of("float16")
    n = np.arange(1, 6000)
    gamma = np.array([half.gamma(int(k)) for k in n])
    assert np.isfinite(gamma).all()
    assert (gamma >= np.expm1(n * np.log1p(half.u_sum)) * (1 - 1e-12)).all()  # (1 + u)^n - 1


# --- the rules, elementwise ------------------------------------------------------------------


def uncertain(rng, n, scale):
    """Float32 numbers an implementation holds, and a reference that knows them up to `error`."""
    held = (rng.choice([-1, 1], n) * scale * rng.uniform(0.5, 2, n)).astype(np.float32)
    off = rng.choice([0.0, 1e-7, 1e-3, 0.3], n) * np.abs(held.astype(np.float64))
    reference = held + rng.choice([-1, 1], n) * off
    error = np.abs(reference - held)  # exact: both are near each other, or nearly so
    return held, Bounded(reference, np.nextafter(error, np.inf) * (error > 0), F32)


BINARY = {
    "add": (np.add, lambda a, b: a + b),
    "subtract": (np.subtract, lambda a, b: a - b),
    "multiply": (np.multiply, lambda a, b: a * b),
    "divide": (np.divide, lambda a, b: a / b),
    "maximum": (np.maximum, max),
    "minimum": (np.minimum, min),
    "hypot": (np.hypot, lambda a, b: a.hypot(b)),
    "arctan2": (np.arctan2, lambda a, b: a.arctan2(b)),
    "logaddexp": (np.logaddexp, lambda a, b: a.logaddexp(b)),
}


@pytest.mark.sample(16)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", BINARY)
def test_binary_rules(name, seed):
    ufunc, true = BINARY[name]
    rng = np.random.default_rng(seed)
    scales = np.repeat([1e-44, 1e-38, 1e-20, 1.0, 1e15, 1e18], 60)
    a32, a = uncertain(rng, scales.size, scales)
    # Scales mixed; in a third of the pairs b is -a but for a few bits: cancellation.
    b32, b = uncertain(rng, scales.size, rng.permutation(scales))
    near = rng.random(scales.size) < 0.33
    b32 = np.where(near, -a32 * (1 + np.float32(2.0**-20)), b32).astype(np.float32)
    value = np.where(near, b32.astype(np.float64), b.value)
    b = Bounded(value, np.where(near, 0.0, b.error), F32)
    with np.errstate(all="ignore"):
        bounded, computed = ufunc(a, b), ufunc(a32, b32)
        flushed = np.where(np.abs(computed) < TINY, 0 * computed, computed)
    pairs = zip(Real.array(a.value), Real.array(b.value), strict=True)
    truth = np.array([true(p, q) for p, q in pairs], dtype=object)
    fits = np.isfinite(computed)
    assert fits.sum() > 200
    assert inside(truth, bounded)[fits].all()
    assert inside(computed, bounded)[fits].all()
    if name not in ("maximum", "minimum"):  # those compute nothing that could be flushed
        assert inside(flushed, bounded)[fits].all()


def test_the_bound_of_a_cancellation_is_that_of_its_terms():
    """1 + x - 1 keeps the error of 1 + x, of whatever size x is."""
    x = np.array([1e-3, 1e-6, 1e-9, 0.0], np.float32)
    difference = (1 + exactly(x)) - 1
    assert (difference.full_error() >= F32.u).all()
    assert inside((np.float32(1) + x) - np.float32(1), difference).all()


def test_a_divisor_that_may_be_zero_has_no_bound():
    one = exactly(np.ones(2))
    quotient = one / Bounded(np.array([1e-3, 1.0]), np.array([1e-3, 0.5]), F32)
    assert quotient.full_error()[0] == np.inf
    assert quotient.full_error()[1] >= 1.0  # 1 / 0.5 - 1
    maybe = one / Bounded(np.array([1e-4, -1e-4]), np.array([1e-3, 1e-3]), F32)
    assert np.isinf(maybe.full_error()).all()  # its sign is not even known
    subnormal = one / exactly(np.array([TINY / 2, 1.0]))  # flushed: 1 / 0
    assert np.isinf(subnormal.full_error()).tolist() == [True, False]


def test_zero_times_what_has_no_bound_has_none():
    unknown = Bounded(np.zeros(2), np.array([np.inf, 1.0]), F32)
    zero = exactly(np.zeros(2))
    products = (unknown * unknown, unknown * zero, zero * unknown)
    for product in products:
        assert np.isinf(product.full_error()).tolist() == [True, False]
        assert np.isinf(np.sqrt(product).full_error()).tolist() == [True, False]
    assert np.isinf((unknown @ unknown).full_error())


UNARY = {
    "exp": (np.exp, lambda r: r.exp(), -100, 88),
    "expm1": (np.expm1, lambda r: r.expm1(), -100, 88),
    "log": (np.log, lambda r: r.log(), 1e-37, 1e37),
    "log1p": (np.log1p, lambda r: r.log1p(), -0.999, 1e30),
    "sqrt": (np.sqrt, lambda r: r.sqrt(), 1e-37, 1e37),
    "tanh": (np.tanh, lambda r: r.tanh(), -30, 30),
    "erf": (erf, lambda r: r.erf(), -8, 8),
    "erfcx": (erfcx, lambda r: r.erfcx(), -5, 1e30),
    "ndtri": (ndtri, lambda r: r.ndtri(), 2**-60, 1 - 2**-20),
    "erfinv": (erfinv, lambda r: r.erfinv(), -1 + 2**-20, 1 - 2**-20),
    "i0e": (i0e, lambda r: r.i0e(), 0, 200),
    "i0e_less_i1e": (i0e_less_i1e, lambda r: r.i0e_less_i1e(), 0, 200),
    "i1e_ratio": (i1e_ratio, lambda r: r.i1e_ratio(), 0, 200),
    "lgamma": (lgamma, lambda r: r.lgamma(), 1e-37, 1e30),
    "digamma": (digamma, lambda r: r.digamma(), 1e-37, 1e30),
    "trigamma": (trigamma, lambda r: r.trigamma(), 1e-18, 1e30),
    "sin": (np.sin, lambda r: r.sin(), -1e4, 1e4),
    "cos": (np.cos, lambda r: r.cos(), -1e4, 1e4),
    "negative": (np.negative, lambda r: -r, -1e30, 1e30),
    "absolute": (np.absolute, abs, -1e30, 1e30),
    "square": (np.square, lambda r: r * r, -1e15, 1e15),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary_rules(name):
    f, true, low, high = UNARY[name]
    rng = np.random.default_rng(8)
    held = np.concatenate(
        [rng.uniform(max(low, -5), min(high, 5), 80), rng.uniform(low, high, 40), [0.5, 1.0, 1e-20]]
    ).astype(np.float32)
    off = rng.choice([0.0, 1e-7, 1e-3], held.size) * np.abs(held.astype(np.float64))
    reference = np.clip(held + rng.choice([-1, 1], held.size) * off, low, high)
    error = np.abs(reference - held)
    a = Bounded(reference, np.nextafter(error, np.inf) * (error > 0), F32)
    bounded = f(a)
    truth = np.array([true(r) for r in Real.array(a.value)], dtype=object)
    assert inside(truth, bounded).all()
    with np.errstate(over="ignore", under="ignore"):
        computed = np.asarray(f(held), dtype=np.float32)
    fits = np.isfinite(computed)
    assert fits.sum() >= 0.9 * held.size
    assert inside(computed, bounded)[fits].all()


@pytest.mark.parametrize(
    "name",
    "exp expm1 log log1p sqrt tanh erf sin cos erfcx erfinv i0e i0e_less_i1e i1e_ratio "
    "lgamma digamma trigamma".split(),
)
def test_float64_elementary_functions_are_within_their_units(name):
    f, true, low, high = UNARY[name]
    z = np.random.default_rng(0).uniform(max(low, -20), min(high, 20), 300)
    z = np.concatenate([z, [1e-300, 1e-9, 0.5, min(1.0, high)]])
    bounded = f(exactly(z, F64))
    assert inside(np.array([true(r) for r in Real.array(z)], dtype=object), bounded).all()


@pytest.mark.parametrize("rounding", [F32, F64], ids=["float32", "float64"])
def test_functions_with_rules_of_their_own_are_sharp_over_their_range(rounding):
    """Small arguments keep their digits, and large ones neither overflow nor lose their range."""
    low, high = (-37, 38) if rounding is F32 else (-307, 308)
    dtype = np.float32 if rounding is F32 else np.float64
    size = 10.0 ** np.linspace(low, high, 300)
    x = np.concatenate([-size, size]).astype(dtype)
    y = x[np.random.default_rng(0).permutation(x.size)]
    a, b, A, B = exactly(x, rounding), exactly(y, rounding), Real.array(x), Real.array(y)
    near = np.abs(x) <= 1
    tests = [
        (np.sin(a), np.sin(A), np.where(near, np.abs(np.sin(x.astype(float))), 1.0)),
        (np.cos(a), np.cos(A), np.ones(x.size)),
        (np.hypot(a, b), np.hypot(A, B), np.hypot(x.astype(float), y.astype(float))),
        (
            np.arctan2(a, b),
            np.arctan2(A, B),
            np.abs(np.arctan2(x.astype(float), y.astype(float))),
        ),
        (
            np.logaddexp(a, b),
            np.array([p.logaddexp(q) for p, q in zip(A, B, strict=True)], dtype=object),
            np.abs(np.logaddexp(x.astype(float), y.astype(float))) + np.log(2.0),
        ),
    ]
    for bounded, true, scale in tests:
        fits = np.abs(bounded.value) <= rounding.largest
        assert inside(true, bounded)[fits].all()
        assert (bounded.full_error() <= 12 * rounding.u * scale + 2 * rounding.tiny)[fits].all()


def test_errors_pass_sine_cosine_hypot_and_logaddexp_at_most_in_full():
    e = 1e-3
    a, b = (Bounded(np.array([v]), np.array([e]), F32) for v in (2.0, -5.0))
    known = exactly(np.array([2.0]), F32)
    assert np.sin(a).full_error() == pytest.approx(abs(np.cos(2.0)) * e, rel=5e-3)
    assert np.cos(a).full_error() == pytest.approx(abs(np.sin(2.0)) * e, rel=5e-3)
    assert np.sin(Bounded(np.array([2.0]), np.array([1e9]), F32)).full_error() <= 2.0 + 1e-5
    assert np.hypot(a, b).full_error() == pytest.approx(2**0.5 * e, rel=1e-2)
    assert np.logaddexp(a, b).full_error() == pytest.approx(e, rel=2e-2)
    assert np.logaddexp(known, b).full_error() < 1e-5  # e^-7 of the error, and 8 u


def test_an_error_of_the_point_is_seen_under_an_angle_and_across_the_negative_half():
    e = 1e-3
    a, b = (Bounded(np.array(v), np.array([e, 0.0, e]), F32) for v in ([3.0, 3.0, 0.0], [4.0] * 3))
    error = np.arctan2(a, b).full_error()
    assert error[0] == pytest.approx(2**0.5 * e / 5, rel=1e-2)
    assert error[1] < 1e-6
    near = Bounded(np.array([e / 2]), np.array([e]), F32)
    assert np.arctan2(near, exactly(np.array([-4.0]))).full_error() >= 2 * np.pi
    assert np.arctan2(near, exactly(np.array([4.0]))).full_error() < e


def test_a_given_infinity_stays_exact_in_hypot_and_logaddexp():
    a, b = exactly(np.array([-np.inf, np.inf, -np.inf])), exactly(np.array([2.0, 2.0, -np.inf]))
    z, w = np.logaddexp(a, b), np.hypot(a, b)
    assert z.value.tolist() == [2.0, np.inf, -np.inf]
    assert (z.full_error() <= [1e-6, 0.0, 0.0]).all()
    assert w.value.tolist() == [np.inf] * 3
    assert not w.full_error().any()


def test_a_difference_that_is_exactly_zero_has_no_error():
    x = exactly(np.array([1.0, 0.5], np.float32))
    assert (1 - x).full_error()[0] == 0.0
    assert (1 - x).full_error()[1] > 0.0


def test_where_takes_the_bound_of_the_chosen_side_and_comparisons_are_plain():
    a = Bounded(np.array([1.0, 2.0]), np.array([0.1, 0.2]), F32)
    chosen = np.where(a > 1.5, a, 0.0)
    assert chosen.value.tolist() == [0, 2]
    assert chosen.full_error().tolist() == [0, 0.2]
    assert (a == 1.0).tolist() == [True, False]
    assert (a != 1.0).tolist() == [False, True]
    assert (a <= 1.0).tolist() == [True, False]
    assert (a >= 2.0).tolist() == [False, True]
    assert (a < 1.0).tolist() == [False, False]


def test_moving_elements_moves_their_bounds():
    value = np.arange(6.0).reshape(2, 3)
    a = Bounded(value, value / 10, F32)
    for move in (
        lambda x: x[:, 1:],
        lambda x: x[..., ::-1],
        lambda x: x.T,
        lambda x: x.reshape(3, 2),
        lambda x: np.reshape(x, (6, 1)),
        lambda x: np.take(x, (2, 0), axis=-1),
        lambda x: np.expand_dims(x, 1),
        lambda x: np.swapaxes(x, 0, 1),
        lambda x: np.repeat(x, 2, axis=0),
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.stack([x, x]),
        lambda x: x.max(axis=-1, keepdims=True) if x is value else x[:, 2:],
    ):
        assert np.array_equal(move(a).value, move(value))
        assert np.array_equal(move(a).full_error(), move(value / 10))
    assert np.ones_like(a).full_error().max() == 0
    assert np.zeros_like(a).value.max() == 0


def test_max_may_take_the_value_of_any_input():
    a = Bounded(np.array([[1.0, 0.95]]), np.array([[0.0, 0.2]]), F32)
    highest = a.max(axis=-1)
    assert highest.value.tolist() == [1.0]
    assert highest.value[0] + highest.full_error()[0] >= 0.95 + 0.2


def test_a_usual_form_is_taken_where_it_is_asked_for_alone():
    def formula(rounding):
        y = Bounded.exactly(np.linspace(0.001, 0.999, 50, dtype=np.float32), rounding)
        return usual((1 - y) * (1 + y), {"1 - y^2": lambda: 1 - y * y})

    met = Forms()
    best, other, form = (
        formula(replace(F32, forms=forms)) for forms in (None, met, Forms(("1 - y^2",)))
    )
    assert list(met.met) == ["1 - y^2"]
    assert (best.value == other.value).all()
    assert (best.error == other.error).all()
    assert (form.error[-3:] > 3 * best.error[-3:]).all()  # where 1 - y^2 cancels
    plain = np.ones(3)
    assert usual(plain, {"never": lambda: 1 / 0}) is plain  # on ordinary arrays


def test_what_a_usual_form_overflows_to_is_infinite_and_exact():
    z = Bounded.exactly(np.float32([-100.0, 100.0]), replace(F32, forms=Forms(("any",))))
    e = np.exp(z)
    assert e.value[1] == np.inf
    assert e.full_error()[1] == 0.0
    y = 1 / (1 + e)
    assert y.value.tolist()[1] == 0.0
    assert y.full_error()[1] < 1e-30


@pytest.mark.parametrize("scale", [2.0, 0.5, -4.0])
def test_a_power_of_two_scales_without_rounding(scale):
    x = Bounded.rounded(np.float32([0.1, 3.0]), F32)
    for z in (x * scale, scale * x, x / scale):
        assert (z.full_error() <= abs(z.value / x.value) * x.full_error() + 1.01 * TINY).all()
