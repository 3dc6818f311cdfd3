"""Reductions at zeros, ties and the ends of the range, and the arguments they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradparity.core import Ball, Bounded, Max, Rounding, Ties
from gradparity.core.vocabulary.reductions import (
    LogSumExp,
    Min,
    Prod,
    Std,
    Variance,
    VectorNorm,
)

from .oracle import MP, Real, inside


def gradient(op: Any, y: Any, dz: Any = None) -> Any:
    y = np.asarray(y)
    z = op.forward(y)
    return op.vjp(np.ones_like(z) if dz is None else dz, (y,), z)[0]


@pytest.mark.parametrize(
    ("y", "want"),
    [
        ([2.0, 3.0, 5.0], [15.0, 10.0, 6.0]),
        ([2.0, 0.0, 5.0], [0.0, 10.0, 0.0]),
        ([0.0, 0.0, 5.0], [0.0, 0.0, 0.0]),
        ([4.0], [1.0]),
    ],
    ids=["no zero", "one zero", "two zeros", "one factor"],
)
def test_the_gradient_of_a_product_is_that_of_the_others(y: Any, want: Any) -> None:
    assert gradient(Prod(), [y]).tolist() == [want]
    assert gradient(Prod(0), np.transpose([y])).tolist() == np.transpose([want]).tolist()


def test_a_product_of_no_factors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no factors in a value of shape \(2, 0\)"):
        Prod().output_shape((2, 0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_sum_exp_neither_overflows_nor_loses_small_terms(dtype: str) -> None:
    y = np.array([[1e4, 1e4 - 1, -1e4], [0.0, -20.0, -30.0], [-1e4, -1e4, -1e4]], dtype)
    rounding = Rounding.of(dtype)
    exact = [MP.log(sum(MP.exp(MP.mpf(float(a))) for a in row)) for row in y]
    shares = [[MP.exp(MP.mpf(float(a)) - s) for a in row] for row, s in zip(y, exact, strict=True)]
    given = Bounded.exactly(y, rounding)
    bounded = LogSumExp().forward(given)
    truth = np.array([Real.of(s) for s in exact], dtype=object)
    assert inside(truth, bounded).all()
    assert inside(LogSumExp().forward(y), bounded).all()
    # e^-20 amplifies the rounding of its argument by 20.
    assert (bounded.full_error() <= 80 * rounding.u * np.abs(bounded.value)).all()
    (found,) = LogSumExp().vjp(Bounded.exactly(np.ones(3, dtype), rounding), (given,), bounded)
    true = np.array([[Real.of(s) for s in row] for row in shares], dtype=object)
    assert inside(true, found).all()
    assert inside(gradient(LogSumExp(), y), found).all()
    hidden = LogSumExp().hidden_rows(np.array([[-np.inf, 0.0], [-np.inf, -np.inf]]))
    assert np.asarray(hidden).tolist() == [False, True]


@pytest.mark.parametrize("axis", [None, 1, (0, 2), -1])
@pytest.mark.parametrize("correction", [0, 1])
def test_variance_and_std_are_those_of_numpy(axis: Any, correction: int) -> None:
    y = np.random.default_rng(0).standard_normal((3, 4, 5)) + 2
    for op, own in ((Variance, np.var), (Std, np.std)):
        z = op(axis, correction).forward(y)
        assert z == pytest.approx(own(y, axis=axis, ddof=correction), rel=1e-14)
        assert z.shape == op(axis, correction).output_shape(y.shape)


def test_std_of_equal_numbers_has_no_gradient_and_takes_zero() -> None:
    assert gradient(Std(1), np.full((2, 3), 1.5)).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_vector_norms_do_not_overflow(order: float, size: float) -> None:
    y = size * np.array([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
    z = VectorNorm(order=order).forward(y)
    want = (3.0**order + 4.0**order) ** (1 / order)
    assert z == pytest.approx([want * size, 0.0])
    slopes = (np.array([3.0, 4.0, 0.0]) / want) ** (order - 1) * [1, -1, 0]
    assert gradient(VectorNorm(order=order), y) == pytest.approx(np.array([slopes, [0.0] * 3]))


def test_vector_norms_admit_the_ball_of_the_dual_norm() -> None:
    y = (np.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 3.0], [0.0, 0.0]]]),)
    for order, dual in ((2.0, 2.0), (3.0, 1.5), (1.5, 3.0)):
        ball = VectorNorm(1, order=order).subdifferential(y, 1e-38)
        assert isinstance(ball, Ball)
        assert ball.order == pytest.approx(dual)
        assert (ball.group.tolist(), ball.element.tolist()) == ([1, 1, 2, 2], [1, 3, 4, 6])
    ball = VectorNorm(1, order=1).subdifferential(y, 1e-38)
    assert isinstance(ball, Ball)
    assert ball.order == math.inf
    assert (ball.group.tolist(), ball.element.tolist()) == ([1, 1, 2, 2, 3], [1, 3, 4, 6, 7])
    assert VectorNorm().subdifferential((np.ones((2, 2)),), 1e-38) is None


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("order", [0.5, -1.0, -2.5])
def test_vector_norms_of_orders_below_1(order: float, size: float) -> None:
    a = np.array([3.0, 4.0])
    z = (a**order).sum() ** (1 / order)
    y = size * np.array([[3.0, -4.0]])
    assert VectorNorm(order=order).forward(y) == pytest.approx([z * size])
    slopes = (a / z) ** (order - 1) * [1, -1]
    assert gradient(VectorNorm(order=order), y) == pytest.approx(np.array([slopes]))


def test_a_zero_in_a_norm_of_an_order_below_1() -> None:
    y = np.array([[3.0, 0.0, -1.0]])
    assert VectorNorm(order=-2).forward(y).tolist() == [0.0]
    assert gradient(VectorNorm(order=-2), y).tolist() == [[0.0, 0.0, 0.0]]
    ball = VectorNorm(order=-2).subdifferential((y,), 1e-38)
    assert isinstance(ball, Ball)
    assert (ball.order, ball.group.tolist(), ball.element.tolist()) == (1.0, [0], [1])
    assert np.isnan(gradient(VectorNorm(order=0.5), y)).tolist() == [[False, True, False]]


def test_variances_with_any_correction() -> None:
    y = np.array([[1.0, 2.0, 6.0, -3.0]])  # the mean is 1.5, the squares sum to 41
    assert Variance(1, correction=2).forward(y).tolist() == [20.5]
    assert Variance(1, correction=-1).forward(y).tolist() == [8.2]
    assert Variance(1, correction=1.5).forward(y) == pytest.approx([16.4])
    assert gradient(Variance(1, correction=2), y).tolist() == [[-0.5, 0.5, 4.5, -4.5]]
    assert gradient(Std(1, correction=2), y) == pytest.approx(
        np.array([[-0.25, 0.25, 2.25, -2.25]]) / math.sqrt(20.5)
    )


def test_min_is_the_largest_of_the_negatives() -> None:
    y = np.array([[1.0, 3.0, 1.0, 4.0, 4.0]])
    for ties in ("first", "last", "even"):
        low, high = Min((3, 2), ties=ties), Max((3, 2), ties=ties)
        assert low.forward(y).tolist() == (-high.forward(-y)).tolist()
        assert gradient(low, y).tolist() == gradient(high, -y).tolist()
    tied = Min((3, 2)).subdifferential((y,), 0.0)
    assert isinstance(tied, Ties)
    assert (tied.group.tolist(), tied.element.tolist()) == ([0, 0, 1, 1], [0, 2, 3, 4])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorNorm(order=0), "count the elements"),
        (lambda: VectorNorm(order=-math.inf), "Max as nodes"),
        (lambda: VectorNorm(order=math.inf), "Max as nodes"),
        (lambda: VectorNorm(order="2"), "a finite number"),
        (lambda: VectorNorm((0, 1)), "a whole number"),  # type: ignore[arg-type]
        (lambda: Variance(correction="2"), "a finite number"),  # type: ignore[arg-type]
        (lambda: Variance(correction=2.5).output_shape((2,)), "divides 2 squares by -0.5"),
        (lambda: Std(()), "one axis or more"),
        (lambda: Std(1).output_shape((3, 1)), "divides 1 squares by 0"),
        (lambda: Prod(2).output_shape((3, 1)), r"does not fit a value of shape \(3, 1\)"),
        (lambda: Min((2, 0)), r"Min\(sizes=\(2, 0\)\)"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
