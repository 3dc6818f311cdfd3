"""Gradient descent, stationary points, first-order check: right, and planted wrongs found out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.core.descent import (
    classify_stationary_point,
    constant,
    exponential,
    first_order_check,
    gradient_descent,
    inverse_time,
)

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]
OFF = {"epsilon": None, "epsilon_gradient": None, "max_steps": None}


def square(x):
    return np.sum(x * x)


def square_grad(x):
    return 2 * x


def quartic(x):
    return x**4


def quartic_grad(x):
    return 4 * x**3


def rotation(n, seed):
    """An orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


# ---------------------------------------------------------------- gradient descent


def test_the_iteration_is_the_formula():
    run = gradient_descent(square, square_grad, [1.0, -2.0], step=0.1, max_steps=5)
    x = np.array([1.0, -2.0])
    for k in range(6):
        np.testing.assert_array_equal(run.x[k], x)
        assert run.f[k] == square(x)
        assert run.gradient_norms[k] == pytest.approx(2 * np.linalg.norm(x), rel=1e-15)
        x = x - 0.1 * (2 * x)
    assert run.stopped_by == "steps"
    assert run.x.shape == (6, 2)
    assert run.f.shape == run.gradient_norms.shape == (6,)
    np.testing.assert_array_equal(run.steps, np.full(5, 0.1))


def test_value_rule_alone():
    run = gradient_descent(quartic, quartic_grad, 1.0, step=0.05, **OFF | {"epsilon": 1e-7})
    change = np.abs(np.diff(run.f))
    assert run.stopped_by == "value"
    assert change[-1] < 1e-7 <= change[:-1].min()


def test_gradient_rule_alone():
    run = gradient_descent(
        quartic, quartic_grad, 1.0, step=0.05, **OFF | {"epsilon_gradient": 1e-4}
    )
    assert run.stopped_by == "gradient"
    assert run.gradient_norms[-1] < 1e-4 <= run.gradient_norms[:-1].min()


def test_gradient_norm_of_a_single_negative_entry_is_positive():
    run = gradient_descent(square, square_grad, [-1.0], step=0.1, max_steps=1)
    assert run.gradient_norms.tolist() == [2, 1.6]


def test_step_limit_alone():
    run = gradient_descent(quartic, quartic_grad, 0.0, step=0.05, **OFF | {"max_steps": 7})
    assert run.stopped_by == "steps"  # at the minimum: with the others off, neither may stop it
    assert len(run.steps) == 7


def test_stationary_start_takes_no_step():
    run = gradient_descent(quartic, quartic_grad, 0.0, step=0.05)
    assert run.stopped_by == "gradient"
    assert run.x.shape == run.f.shape == (1,)
    assert run.steps.shape == (0,)
    assert run.steps.dtype == np.float64


def test_rules_that_hold_together_are_named_in_order():
    for off, name in (((), "gradient"), (("epsilon_gradient",), "value")):
        run = gradient_descent(square, square_grad, 1.0, step=0.5, **dict.fromkeys(off))
        assert run.stopped_by == name
    run = gradient_descent(square, square_grad, 1.0, step=0.5, max_steps=1, epsilon=1e-30)
    assert run.stopped_by == "gradient"


def test_value_rule_is_fooled_by_a_jump_between_equals_as_documented():
    run = gradient_descent(square, square_grad, 1.0, step=1.0)  # 1, -1
    assert run.stopped_by == "value"
    assert run.gradient_norms[-1] == 2


def test_descent_from_a_saddle_ridge_ends_on_the_saddle():
    run = gradient_descent(
        lambda p: p[0] ** 2 - p[1] ** 2, lambda p: np.array([2, -2]) * p, [1.0, 0.0], step=0.1
    )
    np.testing.assert_allclose(run.x[-1], 0, atol=1e-5)
    hessian = np.diag([2.0, -2.0])
    assert classify_stationary_point(run.x[-1], hessian).kind == "saddle"


def test_planted_wrong_sign_diverges_and_keeps_the_trajectory():
    run = gradient_descent(square, lambda x: -2 * x, [1.0, 1.0], step=0.5, epsilon=None)
    assert run.stopped_by == "diverged"
    assert np.isfinite(run.x[:-1]).all()
    assert not (np.isfinite(run.x[-1]).all() and np.isfinite(run.f[-1]))
    assert len(run.x) == len(run.f) == len(run.gradient_norms) == len(run.steps) + 1 > 400
    np.testing.assert_array_equal(run.x[:4, 0], [1, 2, 4, 8])
    np.testing.assert_array_equal(run.x_min, [1, 1])


def test_too_long_a_step_diverges():
    run = gradient_descent(quartic, quartic_grad, 1.0, step=1.0)
    assert run.stopped_by == "diverged"
    assert run.x[1] == -3


def test_functions_are_not_called_where_x_is_not_finite():
    def f(x):
        assert np.isfinite(x)
        return 0.0

    run = gradient_descent(f, lambda x: np.float64(-1e308), 0.0, step=10.0)
    assert run.stopped_by == "diverged"
    assert run.x.tolist() == [0, np.inf]
    assert np.isnan(run.f[-1])
    assert np.isnan(run.gradient_norms[-1])


def test_python_overflow_is_divergence_too():
    run = gradient_descent(lambda x: math.exp(-x), lambda x: math.exp(-x), 1.0, step=9.0)
    assert run.stopped_by == "diverged"
    assert np.isfinite(run.x).all()
    assert run.x_min == 1


def test_leaving_the_domain_diverges():
    run = gradient_descent(np.log, lambda x: 1 / x, 1.0, step=2.0)
    assert run.stopped_by == "diverged"
    assert run.x.tolist() == [1, -1]


def test_unbounded_f_does_not_hide_the_lowest_finite_point():
    run = gradient_descent(lambda x: -(x**4), lambda x: -4 * x**3, 1.0, step=1.0)
    assert run.stopped_by == "diverged"
    assert run.f[-1] == -np.inf
    assert run.x_min == run.x[-2]


def test_x_min_when_f_rises():
    run = gradient_descent(
        square, square_grad, 1.0, step=lambda k: [0.4, 3.0][k], **OFF | {"max_steps": 2}
    )
    np.testing.assert_allclose(run.x, [1, 0.2, -1])
    assert run.x_min == run.x[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_dtype_and_shape_in_are_dtype_and_shape_out(dtype, shape):
    x0 = np.ones(shape, dtype)
    run = gradient_descent(square, square_grad, x0, step=0.25)
    for array in (run.x, run.f, run.steps, run.gradient_norms, run.x_min):
        assert array.dtype == dtype
    assert run.x.shape[1:] == run.x_min.shape == shape
    assert np.abs(run.x[-1]).max() < 1e-3
    np.testing.assert_array_equal(x0, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_float64_results_of_the_functions_and_steps_do_not_widen(dtype):
    run = gradient_descent(
        lambda x: float(x) ** 2, lambda x: 2 * float(x), dtype(1), step=np.float64(0.25)
    )
    assert run.x.dtype == run.f.dtype == run.steps.dtype == run.gradient_norms.dtype == dtype


def test_longdouble_keeps_its_digits():
    third = np.longdouble(1) / 3
    run = gradient_descent(square, square_grad, third, step=0.25, max_steps=1)
    assert run.x[0] == third
    assert run.x[1] == third / 2


def test_float16_epsilon_below_its_range_still_stops():
    run = gradient_descent(square, square_grad, np.float16(1), step=0.25, epsilon=1e-12)
    assert run.stopped_by in ("value", "gradient")


def test_float16_norm_does_not_overflow():
    run = gradient_descent(
        lambda x: np.float16(0), lambda x: np.full(4, 300, np.float16), np.zeros(4, np.float16),
        step=0.01, max_steps=1, epsilon=None,
    )  # fmt: skip
    assert run.gradient_norms.tolist() == [600, 600]
    assert run.stopped_by == "steps"


def test_functions_cannot_corrupt_the_trajectory():
    buffer = np.empty(2)

    def grad(x):
        np.multiply(x, 2, out=buffer)
        x[:] = np.nan
        return buffer

    def f(x):
        value = square(x)
        x[:] = np.nan
        return value

    clean = gradient_descent(square, square_grad, [1.0, 2.0], step=0.1)
    dirty = gradient_descent(f, grad, [1.0, 2.0], step=0.1)
    np.testing.assert_array_equal(clean.x, dirty.x)
    curvature = classify_stationary_point([0.0, 0.0], grad=grad)
    np.testing.assert_allclose(curvature.eigenvalues, 2)


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (constant(0.1), lambda k: 0.1),
        (inverse_time(0.4, 0.5), lambda k: 0.4 / (1 + 0.5 * k)),
        (exponential(0.4, 0.9), lambda k: 0.4 * 0.9**k),
        (lambda k: 0.3 / (k + 1), lambda k: 0.3 / (k + 1)),
    ],
)
def test_schedules_are_followed(schedule, formula):
    run = gradient_descent(square, square_grad, 1.0, step=schedule, **OFF | {"max_steps": 6})
    np.testing.assert_array_equal(run.steps, [formula(k) for k in range(6)])
    np.testing.assert_allclose(run.x[1:] / run.x[:-1], 1 - 2 * run.steps, rtol=1e-14)


def test_a_schedule_is_asked_once_for_each_step():
    asked = []

    def schedule(k):
        asked.append(k)
        return 0.1

    gradient_descent(square, square_grad, 1.0, step=schedule, max_steps=4)
    assert asked == [0, 1, 2, 3]


def test_a_warm_up_from_zero_is_not_taken_for_convergence():
    run = gradient_descent(square, square_grad, 1.0, step=lambda k: min(k, 4) / 10)
    assert run.steps[0] == 0
    assert abs(run.x[-1]) < 1e-5


def test_a_decay_may_underflow():
    run = gradient_descent(
        square, square_grad, np.float16(1), step=exponential(0.01, 0.5), max_steps=40, epsilon=None
    )
    assert run.stopped_by == "steps"
    assert run.steps[-1] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1e6])
def test_a_schedule_that_goes_bad_is_named_with_its_step(bad):
    with pytest.raises(ValueError, match=r"step\(2\) is .*finite and >= 0"):
        gradient_descent(square, square_grad, np.float16(1), step=lambda k: bad if k == 2 else 0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(0.0), "step is 0.0; give a positive"),
        (lambda: inverse_time(-1.0, 1.0), "eta0 is -1.0"),
        (lambda: inverse_time(1.0, np.inf), "decay is inf"),
        (lambda: exponential(np.nan, 0.5), "eta0 is nan"),
        (lambda: exponential(1.0, 1.5), "rate is 1.5: .*use 0 < rate <= 1"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------- bad input


def forbidden(x):
    raise AssertionError("called before the arguments were checked")


@pytest.mark.parametrize(
    ("x0", "options", "error", "message"),
    [
        (np.nan, {}, ValueError, "x0 is nan; every entry must be finite"),
        ([1.0, np.inf], {}, ValueError, r"x0 is \[ 1. inf\]"),
        ([], {}, ValueError, r"x0 is \[\]"),
        (1, {}, TypeError, r"x0 has dtype int64; use floats: np.asarray\(x0, float\)"),
        ([True], {}, TypeError, "dtype bool; use floats"),
        (1j, {}, TypeError, "dtype complex128; use floats"),
        ("a", {}, TypeError, "dtype <U1; use floats"),
        (1.0, {"step": 0.0}, ValueError, "step is 0.0; give a positive, finite number"),
        (1.0, {"step": -0.1}, ValueError, "step is -0.1"),
        (1.0, {"step": np.nan}, ValueError, "step is nan"),
        (1.0, {"step": "0.1"}, TypeError, "step is '0.1'; give a positive"),
        (1.0, {"step": True}, TypeError, "step is True"),
        (1.0, {"step": None}, TypeError, "step is None"),
        (np.float16(1), {"step": 1e-9}, ValueError, r"step\(0\) is 1e-09.*float16 it is 0.0"),
        (np.float16(1), {"step": 1e6}, ValueError, r"step\(0\) is 1000000.0.*float16 it is inf"),
        (1.0, {"step": lambda k: np.nan}, ValueError, r"step\(0\) is nan"),
        (1.0, {"step": lambda k: [0.1]}, ValueError, r"step\(0\) has shape \(1,\)"),
        (1.0, {"step": lambda k: None}, TypeError, r"step\(0\) has dtype object"),
        (1.0, {"epsilon": 0.0}, ValueError, "epsilon is 0.0; .*None for no such rule"),
        (1.0, {"epsilon": "a"}, TypeError, "epsilon is 'a'"),
        (1.0, {"epsilon_gradient": np.inf}, ValueError, "epsilon_gradient is inf"),
        (1.0, {"max_steps": 0}, ValueError, "max_steps is 0; .*None for no such rule"),
        (1.0, {"max_steps": -3}, ValueError, "max_steps is -3"),
        (1.0, {"max_steps": 1.5}, ValueError, "1.5.*max_steps must be whole"),
        (1.0, OFF, ValueError, "one rule at least not None"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(x0, options, error, message):
    with pytest.raises(error, match=message):
        gradient_descent(forbidden, forbidden, x0, **{"step": 0.1} | options)


@pytest.mark.parametrize(
    ("f", "grad", "error", "message"),
    [
        (square, lambda x: np.ones(3), ValueError, r"grad\(x\) has shape \(3,\).*\(2,\)"),
        (square, lambda x: 1.0, ValueError, r"grad\(x\) has shape \(\)"),
        (square, lambda x: x * 1j, TypeError, r"grad\(x\) has dtype complex128"),
        (square, lambda x: None, TypeError, r"grad\(x\) has dtype object"),
        (lambda x: x, square_grad, ValueError, r"f\(x\) has shape \(2,\).*\(\)"),
        (lambda x: "1", square_grad, TypeError, r"f\(x\) has dtype <U1"),
        (lambda x: np.nan, square_grad, ValueError, "f is nan.*start where both are finite"),
        (square, lambda x: x * np.inf, ValueError, "start where both are finite"),
        (lambda x: math.exp(1e4), square_grad, ValueError, "start where both are finite"),
    ],
)
def test_bad_functions_are_refused_at_the_first_call(f, grad, error, message):
    with pytest.raises(error, match=message):
        gradient_descent(f, grad, [1.0, 1.0], step=0.1)


def test_other_errors_of_the_functions_pass_through():
    with pytest.raises(ZeroDivisionError):
        gradient_descent(lambda x: 1 / 0, square_grad, 1.0, step=0.1)


# ---------------------------------------------------------------- classification


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


# ---------------------------------------------------------------- first-order check


@pytest.mark.parametrize("dtype", DTYPES)
def test_smooth_functions_have_order_two(dtype):
    x, dx = np.array([0.5, -0.25], dtype), np.array([0.5, 1], dtype)
    check = first_order_check(lambda p: np.sum(np.exp(p)), np.exp, x, dx)
    assert check.order == pytest.approx(2, abs=0.3)
    assert check.sizes.shape == check.remainders.shape == (41,)
    assert check.sizes[0] == pytest.approx(np.sqrt(1.25))
    assert check.remainders[0] == pytest.approx(
        np.sum(np.exp(x + dx) - np.exp(x) * (1 + dx)), rel=0.01
    )


@pytest.mark.parametrize("factor", [-1, 0, 0.5, 1 + 1e-3, 1 + 1e-6])
def test_planted_wrong_gradients_have_order_one(factor):
    check = first_order_check(np.exp, lambda x: factor * np.exp(x), 0.5, 1.0)
    assert check.order == pytest.approx(1, abs=0.05)


def test_a_planted_wrong_component_has_order_one():
    def grad(p):
        return np.array([2 * p[0], 3 * p[1]])  # 2 is right

    across = first_order_check(square, grad, [1.0, 1.0], [1.0, 1.0])
    assert across.order == pytest.approx(1, abs=0.1)
    # and is not seen in a direction that does not touch it
    along = first_order_check(square, grad, [1.0, 1.0], [1.0, 0.0])
    assert along.order == pytest.approx(2, abs=0.1)


def test_flat_functions_have_their_own_order():
    assert first_order_check(quartic, quartic_grad, 0.0, 1.0).order == pytest.approx(4)
    assert first_order_check(square, square_grad, 0.0, 1.0).order == pytest.approx(2)


def test_a_linear_function_leaves_nothing_to_measure():
    assert first_order_check(lambda x: 3 * x, lambda x: 3.0, 0.1, 0.3).order == np.inf


def test_one_measurable_remainder_gives_no_order():
    check = first_order_check(square, square_grad, np.float16(1), np.float16(0.125), halvings=1)
    assert np.isnan(check.order)


def test_a_kink_has_order_one():
    assert first_order_check(np.abs, np.sign, 0.0, 1.0).order == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "dx", "options", "error", "message"),
    [
        (1.0, 0.0, {}, ValueError, "must have one shape and differ"),
        (1.0, 1e-30, {}, ValueError, "must have one shape and differ"),
        ([1.0], 1.0, {}, ValueError, "must have one shape and differ"),
        (1.0, 1, {}, TypeError, r"dx has dtype int64; use floats"),
        (1, 1.0, {}, TypeError, r"x has dtype int64; use floats"),
        (1.0, np.nan, {}, ValueError, "dx is nan"),
        (1.0, 1.0, {"halvings": 0}, ValueError, "halvings is 0"),
        (1.0, 1e4, {}, ValueError, "f and grad must be finite; shorten dx"),
    ],
)
def test_bad_input_to_the_first_order_check(x, dx, options, error, message):
    with pytest.raises(error, match=message):
        first_order_check(np.exp, np.exp, x, dx, **options)


# ---------------------------------------------------------------- random quadratic forms


@given(
    eigenvalues=st.lists(st.floats(0.5, 10), min_size=1, max_size=5),
    fraction=st.floats(0.1, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_descent_finds_the_minimiser_of_a_quadratic_form(eigenvalues, fraction, seed):
    n, rng = len(eigenvalues), np.random.default_rng(seed)
    q = rotation(n, seed)
    a, target = (q * eigenvalues) @ q.T, rng.normal(size=n)
    run = gradient_descent(
        lambda x: (x - target) @ a @ (x - target) / 2, lambda x: a @ (x - target),
        rng.normal(size=n), step=fraction * 2 / max(eigenvalues),
        **OFF | {"epsilon_gradient": 1e-9, "max_steps": 5000},
    )  # fmt: skip
    assert run.stopped_by == "gradient"
    # |x - target| <= |grad| / smallest eigenvalue
    assert np.linalg.norm(run.x[-1] - target) <= 1e-9 / min(eigenvalues) * 1.01 + 1e-14
    assert (np.diff(run.f) <= 1e-14 * run.f[0]).all()


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), excess=st.floats(1.05, 3))
@settings(deadline=None)
def test_a_step_beyond_two_over_l_diverges(seed, n, excess):
    q = rotation(n, seed)
    a = (q * np.linspace(1, 3, n)) @ q.T
    largest = np.linspace(1, 3, n)[-1]
    run = gradient_descent(
        lambda x: x @ a @ x / 2, lambda x: a @ x, q[:, -1], step=excess * 2 / largest
    )
    assert run.stopped_by == "diverged"


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
