"""Ops of two or three values keep the digits of every element, and refuse what they cannot take.

Points and truths are those of test_best_forms.py, at 50 digits or more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradparity.core import Ball, Bounded, Rounding, Ties
from gradparity.core.vocabulary.pairs import (
    Arctan2,
    Divide,
    Hypot,
    Lerp,
    LogAddExp,
    Minimum,
    Power,
    Where,
)

from .test_best_forms import DOZENS, DTYPES, at, check, truth


class Textbook(NamedTuple):
    """An op: its value and its gradients, all of (context, *inputs).

    Parameters
    ----------
    tail : further units roundoff of the bound, from all inputs.
    """

    op: Any
    formulas: tuple[Callable[..., Any], ...]
    tail: Callable[..., Any] = lambda *y: 0.0


def _log(y: Any) -> Any:
    return np.log(np.abs(y.astype(np.float64)))


def share(M: Any, a: Any, b: Any) -> Any:
    return 1 / (1 + M.exp(b - a))


def _logaddexp_tail(a: Any, b: Any) -> Any:
    """The exponent's rounding; near the root of the sum nothing is promised."""
    largest = np.maximum(a, b)
    apart = np.minimum(np.abs(a.astype(np.float64) - b), 800)
    return np.where((largest < 0) & (largest > -0.7), np.inf, 8 * apart)


PAIRS = [
    Textbook(
        Divide(),
        (lambda M, a, b: a / b, lambda M, a, b: 1 / b, lambda M, a, b: -a / (b * b)),
    ),
    Textbook(
        LogAddExp(),
        (
            lambda M, a, b: max(a, b) + M.log1p(M.exp(-abs(a - b))),
            share,
            lambda M, a, b: share(M, b, a),
        ),
        _logaddexp_tail,
    ),
    Textbook(
        Hypot(),
        (
            lambda M, a, b: M.hypot(a, b),
            lambda M, a, b: a / M.hypot(a, b),
            lambda M, a, b: b / M.hypot(a, b),
        ),
    ),
    Textbook(
        Arctan2(),
        (
            lambda M, a, b: M.atan2(a, b),
            lambda M, a, b: b / (a * a + b * b),
            lambda M, a, b: -a / (a * a + b * b),
        ),
    ),
]


def judged(book: Textbook, y: list[Any], dtype: str, wide: bool = True) -> list[Any]:
    """The elements at which the value or a gradient is wrong."""
    rounding, op, one = Rounding.of(dtype), book.op, np.ones_like(y[0])
    given = [Bounded.exactly(a, rounding) for a in y]
    with np.errstate(all="ignore"):
        z, bounded = op.forward(*y), op.forward(*given)
        plain = (z, *op.vjp(one, tuple(y), z))
        bounds = (bounded, *op.vjp(Bounded.exactly(one, rounding), tuple(given), bounded))
        tail = np.broadcast_to(book.tail(*y), one.shape)
    found = []
    for which, f in enumerate(book.formulas):
        true = [
            truth(lambda M, p=p, f=f: f(M, *(M.mpf(float(a)) for a in p)))
            for p in zip(*y, strict=True)
        ]
        # A factor that underflows is lost up to the size of what it is multiplied by.
        width = [
            (DOZENS + t, 64 * max(1.0, abs(float(w)))) for t, w in zip(tail, true, strict=True)
        ]
        wrong = check(plain[which], bounds[which], true, rounding, width if wide else None)
        found += [(which, [float(a[i]) for a in y], *rest) for i, *rest in wrong]
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("book", PAIRS, ids=lambda book: book.op.name)
def test_two_values_keep_their_digits(book: Textbook, dtype: str) -> None:
    """Of all sizes, as long as neither number is more than the root of the largest."""
    x = at("sample", dtype)
    x = x[np.abs(np.log(np.abs(x.astype(np.float64)))) < 0.49 * np.log(float(np.finfo(dtype).max))]
    y = x[np.random.default_rng(0).permutation(x.size)]
    near = x * np.asarray(1 + 2.0**-10, dtype)
    assert judged(book, [np.concatenate([x, x]), np.concatenate([y, near])], dtype) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_power_keeps_its_digits(dtype: str) -> None:
    book = Textbook(
        Power(),
        (
            lambda M, a, b: a**b,
            lambda M, a, b: b * a ** (b - 1),
            lambda M, a, b: a**b * M.log(a),
        ),
        lambda a, b: 16 * (np.abs(b.astype(np.float64)) + 1) * np.abs(_log(a)),
    )
    rng = np.random.default_rng(0)
    a = np.exp(rng.uniform(-6, 6, 300)).astype(dtype)
    b = rng.uniform(-6, 6, 300).astype(dtype)
    assert judged(book, [a, b], dtype) == []


def test_power_of_numbers_that_are_not_positive() -> None:
    a = np.array([-2.0, -2.0, 0.0, 0.0, 0.0])
    b = np.array([3.0, -2.0, 2.0, 1.0, 0.0])
    op, dz = Power(), np.ones(5)
    z = op.forward(a, b)
    np.testing.assert_allclose(z, [-8, 0.25, 0, 0, 1])
    da, db = op.vjp(dz, (a, b), z)
    np.testing.assert_allclose(da, [12, 0.25, 0, 1, 0])
    np.testing.assert_array_equal(db, [np.nan, np.nan, 0, 0, 0])
    assert np.isnan(op.forward(np.array([-2.0]), np.array([0.5]))).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_lerp_between_numbers_of_one_sign_keeps_its_digits(dtype: str) -> None:
    book = Textbook(
        Lerp(),
        (
            lambda M, a, b, w: (1 - w) * a + w * b,
            lambda M, a, b, w: 1 - w,
            lambda M, a, b, w: w,
            lambda M, a, b, w: b - a,
        ),
    )
    a = at("sample", dtype)
    a = a[np.abs(a) < np.finfo(dtype).max / 4]
    rng = np.random.default_rng(0)
    b = np.abs(a[rng.permutation(a.size)]) * np.sign(a)
    w = rng.choice(np.array([0.0, 1e-6, 0.3, 0.5, 1 - 2**-20, 1.0], dtype), a.size)
    assert judged(book, [a, b, w], dtype) == []


def test_where_sends_each_gradient_to_the_chosen_one_and_none_to_the_mask() -> None:
    op, mask = Where(), np.array([[1], [0], [1]])
    y = (mask, np.zeros((3, 2)), np.ones((1, 2)))
    none, da, db = op.vjp(np.ones((3, 2)), y, op.forward(*y))
    assert none is None
    assert da.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert db.tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="its mask holds 2"):
        op.check_integers(np.array([0, 2]))
    assert op.unexercised(y) == ""
    assert op.unexercised((np.ones((3, 1), int), *y[1:])) == "the mask is nowhere 0"


def test_minimum_ties_as_maximum_does() -> None:
    y = (np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    for ties, share_of_a in (("first", 1.0), ("last", 0.0), ("even", 0.5)):
        op = Minimum(ties=ties)
        da, db = op.vjp(np.ones(3), y, op.forward(*y))
        assert da.tolist() == [share_of_a, 1.0, 0.0]
        assert (da + db).tolist() == [1.0] * 3
    tied = Minimum().subdifferential(y, 0.0)
    assert isinstance(tied, Ties)
    assert (tied.element.tolist(), tied.input.tolist()) == ([0, 0], [0, 1])


def test_hypot_admits_a_ball_where_both_are_zero() -> None:
    y = (np.array([[0.0], [1.0]]), np.array([[0.0, 0.0, 2.0]]))
    ball = Hypot().subdifferential(y, 1e-38)
    assert isinstance(ball, Ball)
    assert ball.group.tolist() == [0, 1, 0, 1]
    assert ball.element.tolist() == [0, 0, 0, 1]
    assert Hypot().subdifferential((y[0] + 1, y[1]), 1e-38) is None
    da, db = Hypot().vjp(np.ones((2, 3)), y, None)
    assert da.ravel() == pytest.approx([0.0, 2.0 + 0.2**0.5])
    assert db.ravel() == pytest.approx([0.0, 0.0, 1.0 + 0.8**0.5])


@pytest.mark.parametrize("op", [Divide(), Where(), Lerp()], ids=repr)
def test_shapes_that_do_not_broadcast_are_named(op: Any) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        op.output_shape((2, 3), (2, 4), *[()] * (op.n_inputs - 2))
