"""The kind of a stationary point: right, and planted wrong signs found out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.core.lecture.descent import classify_stationary_point

from .landscapes import DTYPES, quartic_grad, rotation, square_grad


@pytest.mark.parametrize(
    ("eigenvalues", "kind"),
    [
        ([2, 1, 3], "minimum"),
        ([-2, -1, -3], "maximum"),
        ([1, 0, -1], "saddle"),
        ([1, 2, -1], "saddle"),
        ([1, 2, 0], "inconclusive"),
        ([-1, -2, 0], "inconclusive"),
        ([0, 0, 0], "inconclusive"),
        ([1, 1, -1e-17], "inconclusive"),
        ([1, 1, -1e-15], "saddle"),
        ([1e-300, 2e-300, 1e-300], "minimum"),
        ([1e308, 1e308, -1e308], "saddle"),
    ],
)
def test_kinds(eigenvalues, kind):
    found = classify_stationary_point(np.zeros(3), np.diag(eigenvalues))
    assert found.kind == kind
    np.testing.assert_allclose(found.eigenvalues, np.sort(np.array(eigenvalues, float)), rtol=1e-15)
    assert found.gradient_norm is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("grad", "n", "kind"),
    [
        (lambda x: 2 * x, 2, "minimum"),
        (lambda x: -2 * x, 2, "maximum"),  # the planted wrong sign: not a minimum
        (lambda x: x * np.array([2, -2], x.dtype), 2, "saddle"),
        (lambda x: 4 * x**3, 1, "inconclusive"),
        (lambda x: 6 * x**5, 1, "inconclusive"),
        (lambda x: 8 * x**7, 3, "inconclusive"),
        (lambda x: 3 * x**2, 1, "inconclusive"),
        (lambda x: np.stack([2 * x[0], 4 * x[1] ** 3]), 2, "inconclusive"),
        (lambda x: np.stack([2 * x[0], 4 * x[1] ** 3, -2 * x[2]]), 3, "saddle"),
        (lambda x: np.zeros(2, x.dtype), 2, "inconclusive"),
    ],
)
def test_kinds_by_differences_at_the_origin(dtype, grad, n, kind):
    found = classify_stationary_point(np.zeros(n, dtype), grad=grad)
    assert found.kind == kind
    assert found.gradient_norm == 0


def test_without_the_truncation_term_the_quartic_would_pass_for_a_minimum():
    found = classify_stationary_point(0.0, grad=quartic_grad)
    h = np.cbrt(np.finfo(float).eps)
    assert found.eigenvalues[0] == pytest.approx(4 * h**2)  # > 0: the difference's own error
    assert found.threshold == pytest.approx(12 * h**2, rel=1e-4)


def test_both_ways_to_the_hessian_agree():
    x = np.array([1.0, 1.0])  # Rosenbrock's minimum; at the maximum of its negative, both flip

    def grad(p):
        a, b = p
        return np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])

    exact = np.array([[802.0, -400], [-400, 200]])
    given_, differenced = (
        classify_stationary_point(x, exact, grad),
        classify_stationary_point(x, grad=grad),
    )
    assert given_.kind == differenced.kind == "minimum"
    assert np.abs(given_.eigenvalues - differenced.eigenvalues).max() <= differenced.threshold
    assert given_.gradient_norm == differenced.gradient_norm == 0


def test_shapes_and_callables():
    x = np.ones((2, 2))
    assert classify_stationary_point(x, np.eye(4)).kind == "minimum"
    assert classify_stationary_point(x, np.eye(4).reshape(2, 2, 2, 2)).kind == "minimum"
    assert classify_stationary_point(x, lambda p: -np.eye(p.size)).kind == "maximum"
    assert classify_stationary_point(0.5, lambda p: 12 * p**2).kind == "minimum"
    assert classify_stationary_point(0.5, [[-3.0]]).kind == "maximum"
    assert classify_stationary_point(x, grad=lambda p: 2 * p).eigenvalues.shape == (4,)


def test_a_point_that_is_not_stationary_is_reported_by_its_gradient():
    found = classify_stationary_point([3.0, 4.0], grad=square_grad)
    assert found.kind == "minimum"
    assert found.gradient_norm == pytest.approx(10)


def test_a_zero_is_judged_by_the_rounding_of_the_hessians_dtype():
    q = rotation(4, 0)
    hessian = (q * [1, 2, 3, 0]) @ q.T
    hessian = (hessian + hessian.T) / 2
    for dtype in DTYPES:
        assert classify_stationary_point(np.zeros(4), hessian.astype(dtype)).kind == "inconclusive"


def test_a_coarse_gradient_is_recognised_by_its_dtype():
    def grad(x):  # float32 inside, as JAX's default
        return np.stack([x[0], 0 * x[1]]).astype(np.float32) + np.float32([0, 1e-7]) * np.sin(
            1e9 * x
        ).astype(np.float32)

    assert classify_stationary_point([0.0, 0.0], grad=grad).kind == "inconclusive"


def test_a_zero_survives_the_cancellation_in_a_gradient_far_from_the_origin():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        v, x = rng.normal(size=3), 1e6 * rng.normal(size=3)
        a = np.outer(v, v)
        found = classify_stationary_point(x, grad=lambda p, a=a, x=x: a @ p - a @ x)
        assert found.kind == "inconclusive"  # rank 1: two zeros, a x cancels all but a h
        assert (np.abs(found.eigenvalues) > found.threshold).tolist() == [False, False, True]


def test_a_field_that_is_no_gradient_gives_no_verdict():
    found = classify_stationary_point([0.0, 0.0], grad=lambda x: np.array([x[0], x[1] + 5 * x[0]]))
    assert found.kind == "inconclusive"


@pytest.mark.parametrize(
    ("x", "hessian", "grad", "error", "message"),
    [
        ([0.0, 0.0], None, None, ValueError, "both None: pass the Hessian"),
        ([0.0, 0.0], [[1, 2], [3, 4]], None, ValueError, r"symmetric, as \(H \+ H.T\) / 2 is"),
        ([0.0, 0.0], [[1, 0], [1e-9, 1]], None, ValueError, "symmetric"),
        ([0.0, 0.0], [[1, np.nan], [np.nan, 1]], None, ValueError, "must be finite"),
        ([0.0, 0.0], [[1, np.inf], [np.inf, 1]], None, ValueError, "must be finite"),
        ([0.0, 0.0], np.eye(3), None, ValueError, r"hessian has shape \(3, 3\).*\(2, 2\)"),
        ([0.0, 0.0], 1j * np.eye(2), None, TypeError, "hessian has dtype complex128"),
        ([0, 0], np.eye(2), None, TypeError, "x has dtype int64; use floats"),
        ([0.0, np.nan], np.eye(2), None, ValueError, "x is .*finite"),
        ([0.0, 0.0], None, lambda x: x[:1], ValueError, r"grad\(x\) has shape \(1,\)"),
        ([0.0, 0.0], np.eye(2), lambda x: x[:1], ValueError, r"grad\(x\) has shape \(1,\)"),
        ([0.0, 0.0], None, np.sqrt, ValueError, "not finite within .* pass hessian"),
        (np.float16([6e4]), None, lambda x: x, ValueError, "not finite within .* pass hessian"),
    ],
)
def test_bad_input_to_classification(x, hessian, grad, error, message):
    with pytest.raises(error, match=message):
        classify_stationary_point(x, hessian, grad)


# ---------------------------------------------------------------- random quadratic forms

SIGNED = st.one_of(st.floats(0.1, 10), st.floats(-10, -0.1), st.just(0.0))


@given(
    eigenvalues=st.lists(SIGNED, min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-100, 1e-3, 1.0, 1e100]),
)
@settings(deadline=None, max_examples=200)
def test_classification_follows_the_constructed_signs(eigenvalues, seed, scale):
    # Q is orthogonal to rounding only, but any invertible Q keeps the signs (Sylvester); the
    # product in longdouble leaves one rounding of each entry, which `threshold` is there for
    n, q = len(eigenvalues), rotation(len(eigenvalues), seed).astype(np.longdouble)
    hessian = ((q * (np.array(eigenvalues) * scale)) @ q.T).astype(float)
    hessian = (hessian + hessian.T) / 2
    up, down = any(v > 0 for v in eigenvalues), any(v < 0 for v in eigenvalues)
    expected = (
        "saddle" if up and down
        else "inconclusive" if 0.0 in eigenvalues
        else "minimum" if up
        else "maximum"
    )  # fmt: skip
    x = np.random.default_rng(seed).normal(size=n)
    found = classify_stationary_point(x, hessian)
    assert found.kind == expected
    slack = 4 * n * np.finfo(float).eps * np.abs(eigenvalues).max() * scale
    expected_values = np.sort(eigenvalues) * scale
    np.testing.assert_allclose(found.eigenvalues, expected_values, rtol=0, atol=slack)
    differenced = classify_stationary_point(x, grad=lambda p: hessian @ (p - x))
    assert differenced.kind == expected
    error = np.abs(differenced.eigenvalues - found.eigenvalues).max()
    assert error <= differenced.threshold
    flipped = {"minimum": "maximum", "maximum": "minimum"}  # the planted sign error is seen
    wrong = classify_stationary_point(x, grad=lambda p: hessian @ (x - p))
    assert wrong.kind == flipped.get(expected, expected)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 5))
@settings(deadline=None)
def test_the_error_of_the_differences_is_within_its_bound(seed, n):
    rng = np.random.default_rng(seed)
    a, x = rng.normal(size=(n, n)), rng.normal(size=n) * 10 ** rng.uniform(-3, 1)
    # f = sum sin(a x): gradient a^T cos(a x), Hessian -a^T diag(sin(a x)) a
    found = classify_stationary_point(x, grad=lambda p: a.T @ np.cos(a @ p))
    exact = np.linalg.eigvalsh(-(a.T * np.sin(a @ x)) @ a)
    assert np.abs(found.eigenvalues - exact).max() <= found.threshold
