"""Single numbers in the steps of a scan, such as a sum of losses, against a loop or a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")

W = np.random.default_rng(0).standard_normal((4, 4)) / 2
X = np.random.default_rng(1).standard_normal((8, 4))


def returns(w: Any) -> Any:
    rewards, state, out = torch.tanh(torch.tensor(X) @ w[0]), torch.tensor(0.0).double(), []
    for t in reversed(range(8)):
        state = rewards[t] + 0.9 * state
        out.append(state)
    return torch.stack(out).pow(2).sum()


def scanned_returns(w: Any, share: float = 0.9) -> Any:
    def step(state: Any, reward: Any) -> Any:
        state = reward + share * state
        return state, state

    return (jax.lax.scan(step, 0.0, jnp.tanh(X @ w[0]), reverse=True)[1] ** 2).sum()


def whole(w: Any) -> Any:
    return torch.tanh(torch.tensor(X) @ w).pow(2).mean()


def by_micro_batches(w: Any, parts: float = 4.0) -> Any:
    def step(total: Any, x: Any) -> Any:
        return total + (jnp.tanh(x @ w) ** 2).mean(), None

    return jax.lax.scan(step, 0.0, X.reshape(4, 2, 4))[0] / parts


def cumulated(w: Any) -> Any:
    return torch.cumsum(torch.tanh(torch.tensor(X) @ w[0]), 0).pow(2).sum()


def scanned_sums(w: Any, by: float = 1.0) -> Any:
    scan = jax.lax.scan(lambda c, a: (c + by * a,) * 2, 0.0, jnp.tanh(X @ w[0]))
    return (scan[1] ** 2).sum()


CASES = [
    (returns, scanned_returns, 0.8),
    (whole, by_micro_batches, 8.0),
    (cumulated, scanned_sums, 2.0),
]


@pytest.mark.parametrize(("one", "other", "fault"), CASES)
@pytest.mark.parametrize("turned", [False, True])
def test_numbers_of_a_scan(
    one: Callable[[Any], Any], other: Callable[..., Any], fault: float, turned: bool
) -> None:
    first = gp.record(one, torch.tensor(W, requires_grad=True), name="one", keep=True)
    for given, code in (((), 0), ((fault,), 1)):
        second = gp.record(lambda w: other(w, *given), jnp.asarray(W), name="other", keep=True)  # noqa: B023
        report = gp.align(*((second, first) if turned else (first, second)))
        assert report.exit_code == code, report.runs[0].about
