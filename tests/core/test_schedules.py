"""Schedules of the step of gradient descent."""

import numpy as np
import pytest

from gradparity.core.lecture.descent import constant, exponential, gradient_descent, inverse_time

from .landscapes import OFF, square, square_grad


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
