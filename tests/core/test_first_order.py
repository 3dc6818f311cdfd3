"""The first-order check: order two where the gradient is right, order one where it is not."""

import numpy as np
import pytest

from gradparity.core.lecture.descent import first_order_check

from .landscapes import DTYPES, quartic, quartic_grad, square, square_grad


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
