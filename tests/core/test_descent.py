"""Gradient descent: the formula, every stopping rule, and planted wrongs found out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.core.lecture.descent import classify_stationary_point, gradient_descent

from .landscapes import DTYPES, OFF, quartic, quartic_grad, rotation, square, square_grad


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
