"""Sums and products of `Bounded` against 60 digits and against float32 in adversarial orders."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradparity import ops
from gradparity.core import Bounded, Rounding
from gradparity.core.arithmetic.arrays import affine, moved_back, scatter_add
from gradparity.core.arithmetic.arrays import total as added

from .oracle import F32, MP, TINY, Real, exactly, inside


def sequential(t):
    s = np.zeros(t.shape[:-1], np.float32)
    for k in range(t.shape[-1]):
        s = s + t[..., k]
    return s


def positives_first(t):
    return sequential(-np.sort(-t, axis=-1))


def by_size(t):
    order = np.argsort(np.abs(t), axis=-1)
    return sequential(np.take_along_axis(t, order, axis=-1))


def largest_first(t):
    order = np.argsort(-np.abs(t), axis=-1)
    return sequential(np.take_along_axis(t, order, axis=-1))


def pairwise(t):
    while t.shape[-1] > 1:
        if t.shape[-1] % 2:
            t = np.concatenate([t, np.zeros((*t.shape[:-1], 1), np.float32)], axis=-1)
        t = t[..., ::2] + t[..., 1::2]
    return t[..., 0]


ORDERS = {
    "sequential": sequential,
    "reversed": lambda t: sequential(t[..., ::-1]),
    "positives first": positives_first,
    "smallest first": by_size,
    "largest first": largest_first,
    "pairwise": pairwise,
    "numpy": lambda t: t.sum(axis=-1),
    "blas": lambda t: t @ np.ones(t.shape[-1], np.float32),
}


def terms(kind, n, rng):
    """Rows of n float32 terms."""
    T = 20
    if kind == "normal":
        t = rng.standard_normal((T, n))
    elif kind == "positive":
        t = rng.uniform(0, 1, (T, n))
    elif kind == "cancelling":  # half the terms take back the other half
        half = rng.standard_normal((T, n // 2)) * np.exp(3 * rng.standard_normal((T, n // 2)))
        t = np.concatenate([half, -half, np.full((T, n - 2 * (n // 2)), 1e-6)], axis=-1)
        t = rng.permuted(t, axis=-1)
    elif kind == "spread":
        t = rng.standard_normal((T, n)) * 10 ** rng.uniform(-12, 12, (T, n))
    elif kind == "constant":
        t = np.full((T, n), 0.1)
    elif kind == "subnormal":
        t = rng.standard_normal((T, n)) * 1e-42
    else:
        t = rng.standard_normal((T, n)) * 1e33
    return t.astype(np.float32)


KINDS = ["normal", "positive", "cancelling", "spread", "constant", "subnormal", "huge"]


@pytest.mark.parametrize("n", [1, 2, 7, 64, 700])
@pytest.mark.parametrize("kind", KINDS)
def test_the_worst_case_bound_holds_in_every_order(kind, n):
    t = terms(kind, n, np.random.default_rng(n))
    bounded = exactly(t).sum(axis=-1)
    for order, total in ORDERS.items():
        assert inside(total(t), bounded).all(), order
    truth = np.array([Real.of(MP.fsum([r.v for r in row])) for row in Real.array(t)], dtype=object)
    assert inside(truth, bounded).all()


@pytest.mark.parametrize("n", [17, 64, 700, 3000])
@pytest.mark.parametrize("kind", ["normal", "positive", "cancelling", "spread", "huge"])
@pytest.mark.parametrize("arranged", ["as drawn", "ascending", "descending"])
def test_the_statistical_bound_holds_in_natural_orders(kind, n, arranged):
    """Sorted data make the natural order 'all positive terms first', or all negative ones."""
    t = terms(kind, n, np.random.default_rng(n + 1))
    if arranged != "as drawn":
        t = np.sort(t, axis=-1) * np.float32(1)
    if arranged == "descending":
        t = t[..., ::-1].copy()
    bounded = exactly(t, Rounding.of("float32", statistical=True)).sum(axis=-1)
    for order in ("sequential", "reversed", "pairwise", "numpy", "blas"):
        assert inside(ORDERS[order](t), bounded).all(), order


def test_the_statistical_bound_is_the_sharper_one_where_it_is_used():
    t = terms("normal", 3000, np.random.default_rng(0))
    worst = exactly(t).sum(axis=-1).full_error()
    sharp = exactly(t, Rounding.of("float32", statistical=True)).sum(axis=-1).full_error()
    # gamma_n sum|t| against 10 u sqrt(n/18 + ...) |t|: of the order of sqrt(n) / 3 = 18, less the
    # spread of the partial sums.
    assert (worst / sharp > 3).all()


def test_the_statistical_bound_is_the_worst_case_below_16_terms():
    t = terms("normal", 16, np.random.default_rng(0))
    sharp = exactly(t, Rounding.of("float32", statistical=True)).sum(axis=-1)
    assert np.array_equal(sharp.full_error(), exactly(t).sum(axis=-1).full_error())


@pytest.mark.parametrize("statistical", [False, True], ids=["worst", "statistical"])
@pytest.mark.parametrize("shape", [(3, 5, 2), (4, 300, 6), (2, 2000, 3)])
def test_matrix_products(shape, statistical):
    T, n, m = shape
    rng = np.random.default_rng(n)
    rounding = Rounding.of("float32", statistical=statistical)
    for scale in (1.0, 1e-22, 1e15):
        a = (rng.standard_normal((T, n)) * scale).astype(np.float32)
        b = (rng.standard_normal((n, m)) * scale).astype(np.float32)
        bounded = exactly(a, rounding) @ exactly(b, rounding)
        products = a[:, None, :] * b.T[None]  # each rounded, then summed in several orders
        for order in ("sequential", "reversed", "pairwise", "numpy"):
            assert inside(ORDERS[order](products), bounded).all(), order
        if not statistical:
            assert inside(positives_first(products), bounded).all()
        assert inside(a @ b, bounded).all()
        exact = Real.array(a[:1]) @ Real.array(b[:, :1])
        assert inside(exact, bounded[:1, :1]).all()


@pytest.mark.parametrize("n", [3, 40])
def test_uncertain_factors_of_a_product_and_terms_of_a_sum(n):
    """All inputs at the end of their interval that does most harm, then summed in float32."""
    rng = np.random.default_rng(n)
    for relative in (1e-6, 0.5, 10.0):
        value_a = rng.standard_normal((4, n)).astype(np.float32).astype(np.float64)
        value_b = rng.standard_normal((n, 2)).astype(np.float32).astype(np.float64)
        error_a = np.float32(relative) * np.ones((4, n))
        error_b = np.float32(relative) * np.ones((n, 2))
        a, b = Bounded(value_a, error_a, F32), Bounded(value_b, error_b, F32)
        for sign in (1, -1):
            with np.errstate(all="ignore"):
                held_a = np.sign(value_a) * (np.abs(value_a) + sign * error_a)
                held_b = np.sign(value_b) * (np.abs(value_b) + sign * error_b)
            a32 = np.nextafter(held_a.astype(np.float32), value_a.astype(np.float32))
            b32 = np.nextafter(held_b.astype(np.float32), value_b.astype(np.float32))
            products = a32[:, None, :] * b32.T[None]
            for total in (sequential, pairwise, positives_first):
                assert inside(total(products), a @ b).all()
                assert inside(total(a32), a.sum(axis=-1)).all()


def test_inputs_known_to_be_zero_but_for_their_error():
    """A sum of n zeros, each +- e: the rounding of the sum of the e is covered too."""
    n = 1001
    held = np.full((1, n), np.float32(0.1))
    a = Bounded(np.zeros((1, n)), held.astype(np.float64), F32)
    for total in (sequential, pairwise):
        assert inside(total(held), a.sum(axis=-1)).all()
    one = exactly(np.ones((n, 1), np.float32))
    assert inside(sequential(held)[:, None], a @ one).all()


@pytest.mark.parametrize("bias", ["last", "first"])
def test_the_bias_may_be_added_first_or_last(bias):
    rng = np.random.default_rng(3)
    y, W = rng.standard_normal((3, 40)), rng.standard_normal((40, 2))
    b = np.array([1e4, -1e-4])
    y, W, b = (v.astype(np.float32) for v in (y, W, b))
    bounded = affine(exactly(y), exactly(W), exactly(b))
    products = y[:, None, :] * W.T[None]
    if bias == "last":
        z = sequential(products) + b
    else:
        start = np.broadcast_to(b[None, :, None], (3, 2, 1))
        z = sequential(np.concatenate([start, products], axis=-1))
    assert inside(z, bounded).all()


def test_scatter_add_sums_values_and_bounds_in_any_order():
    rng = np.random.default_rng(0)
    v = rng.standard_normal((3, 200)).astype(np.float32)
    indices = tuple(int(i) for i in rng.integers(0, 3, 200))
    bounded = moved_back(exactly(v), lambda a: scatter_add(a, indices, 4))
    for order in (slice(None), slice(None, None, -1)):
        z = scatter_add(v[:, order], indices[order], 4)
        assert inside(z, bounded).all()
    for column in range(3):
        own = v[:, [k for k, i in enumerate(indices) if i == column]]
        assert inside(positives_first(own), bounded[:, column]).all()
    assert bounded.full_error()[:, 3].max() <= TINY  # nothing was added there


def test_infinity_does_not_turn_exact_zeros_into_nan():
    x = exactly(np.array([[0.0, 1.0]]))
    w = exactly(np.array([[1.0], [2.0]]))
    assert np.isfinite((x @ w).full_error()).all()
    assert math.isfinite(float((x * 0).full_error().max()))


@pytest.mark.parametrize("statistical", [False, True])
def test_an_infinity_that_was_given_is_exact_in_a_sum_and_an_overflow_is_not(statistical):
    rounding = Rounding.of("float32", statistical=statistical)
    logits = Bounded.rounded(np.float32([[0.5, 1.5, 3e38]]), rounding)
    mask = Bounded.exactly(np.float32([[0.0, -np.inf, -np.inf]]), rounding)
    z = added([logits, mask, mask])
    assert z.full_error()[0, 1:].tolist() == [0.0, 0.0]
    assert 0 < z.full_error()[0, 0] < 1e-5
    assert z.sum(axis=-1).full_error().tolist() == [0.0]
    assert np.isinf(added([logits, logits]).full_error()[0, 2])


@pytest.mark.parametrize("n", [64, 700, 4096, 60000])
def test_equal_terms_summed_one_by_one_stay_inside_the_statistical_bound(n):
    # Their roundings are all alike, so no random walk: sequential float32, as XLA may do.
    rounding = Rounding.of("float32", statistical=True)
    for term in np.float32([0.1, 1 / 3, 0.7, 1.1]):
        total = np.cumsum(np.full(n, term), dtype=np.float32)[-1]
        want = Bounded.exactly(np.full((n, 1), term), rounding).sum(axis=0)
        assert abs(float(total) - want.value[0]) <= want.full_error()[0]


def test_a_sum_over_several_axes_holds_for_every_order_of_its_terms():
    """Nearest resizing hands back four gradients; three small ones may be lost one by one."""
    op, rounding = ops.Resize((2, 2), mode="nearest"), Rounding.of("float32")
    dz = np.array([[[[1.0, 0.75 * 2.0**-24], [0.75 * 2.0**-24, 0.75 * 2.0**-24]]]], np.float32)
    y = np.ones((1, 1, 1, 1), np.float32)
    want = op.vjp(Bounded.exactly(dz, rounding), (Bounded.exactly(y, rounding),), None)[0]
    got = np.float32(0)
    for term in dz.ravel():
        got = np.float32(got + term)
    assert got == 1.0
    assert np.abs(got - want.value).max() <= want.full_error().max()
    assert np.abs(got - want.value).max() > 2 * 2.0**-24  # more than an axis at a time can lose
