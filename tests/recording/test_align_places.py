"""Where `align` places a difference, beside what has no partner and is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from .side_by_side import numbers, recorded  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")

F = torch.nn.functional


def first(one: Any, other: Any) -> Any:
    return next(f for _, f in gp.align(one, other).findings() if f.parity is False)


def test_a_table_that_is_joined_otherwise_is_not_the_place() -> None:
    ids, table = np.array([1, 4, 2, 2, 0]), numbers(6, 8)
    angles = np.outer(np.arange(5.0), 10.0 ** -np.arange(4.0))

    def whole(e: Any) -> Any:
        half = torch.tensor(angles)
        return ((e[torch.tensor(ids)] * torch.cat([half, half], -1).cos()) ** 3).sum()

    def halves(e: Any) -> Any:
        x, cos = e[ids] * 3.0, jnp.cos(angles)
        return (jnp.concatenate([x[:, :4] * cos, x[:, 4:] * cos], -1) ** 3).sum()

    found = first(*recorded(whole, halves, table))
    assert found.node == "mul_1"
    assert "constant 2, which is 3, left out here" in found.note


@pytest.mark.parametrize("hidden", [-1e9, float(np.finfo(np.float64).min), -1e30])
def test_masks_of_other_numbers_are_not_the_cause(hidden: float) -> None:
    scores, later = numbers(5, 5), np.triu(np.ones((5, 5), bool), 1)

    def one(s: Any) -> Any:
        return (s.masked_fill(torch.tensor(later), -torch.inf).softmax(-1) ** 3).sum()

    def other(s: Any, axis: int) -> Any:
        return (jax.nn.softmax(jnp.where(later, hidden, s), axis) ** 3).sum()

    assert gp.align(*recorded(one, lambda s: other(s, -1), scores)).exit_code == 0
    found = first(*recorded(one, lambda s: other(s, 0), scores))
    assert found.node == "_softmax_1"
    assert "axis is -1 here and 0 there" in found.note


def test_another_value_beside_a_mask_is_found() -> None:
    scores, later = numbers(5, 5), np.triu(np.ones((5, 5), bool), 1)

    def one(s: Any, c: float) -> Any:
        hidden = (s * c).masked_fill(torch.tensor(later), -1e9)
        return (hidden.softmax(-1) ** 3).sum()

    tensor = torch.tensor(scores, requires_grad=True)
    made = [gp.record(one, tensor, c, keep=True) for c in (2.0, 2.0001)]
    assert first(*made).node == "mul_1"


def test_a_loop_over_rows_is_the_same() -> None:
    w, x, y = numbers(4, 3), numbers(3, 4, seed=1), np.array([0, 1, 2])

    def rows(w: Any) -> Any:
        each = [x[i] @ w for i in range(3)]
        return sum(jax.nn.logsumexp(row) - row[i] for i, row in enumerate(each)) / 3

    loss = lambda w: F.cross_entropy(torch.tensor(x) @ w, torch.tensor(y))  # noqa: E731
    assert gp.align(*recorded(loss, rows, w)).exit_code == 0


def test_a_small_term_is_told_as_a_term() -> None:
    w, x = numbers(6, 6), numbers(5, 6, seed=1)

    def more(w: Any) -> Any:
        h = jax.nn.silu(x @ w)
        return ((h + 1e-6 * jnp.sin(h)) ** 3).sum()

    one, other = recorded(lambda w: (F.silu(torch.tensor(x) @ w) ** 3).sum(), more, w)
    assert "Add: mul_2 left out here" in first(one, other).note


def test_a_divisor_of_each_sample_and_one_of_all() -> None:
    x, lengths = numbers(3, 5), np.array([[5], [4], [2]])

    def one(x: Any, by: Any) -> Any:
        return ((x / (torch.tensor(by) if isinstance(by, np.ndarray) else by)) ** 3).sum()

    tensor = torch.tensor(x, requires_grad=True)
    each, all_ = (gp.record(one, tensor, by, keep=True) for by in (lengths, 5.0))
    assert "constant 2 is [5, 4, 2] here and 5 everywhere there" in first(each, all_).note
    assert "constant 2 is 5 here and [5, 4, 2] there" in first(all_, each).note


@pytest.mark.parametrize("steps", [3, 12])
def test_a_number_left_out_in_each_step_is_told_once(steps: int) -> None:
    x, h = numbers(steps, 2, 4), np.zeros((2, 4))

    def run(w: Any, more: float, of: Any, into: Any) -> Any:
        state, out = into(h), []
        for t in range(steps):
            a, b = into(x[t]) @ w[0], state @ w[1]
            f, g = of.sigmoid(a + b + more if more else a + b), of.tanh(a - b)
            state = f * state + (1 - f) * g
            out.append(state)
        return sum((s**3).sum() for s in out)

    class Both:
        sigmoid, tanh = staticmethod(jax.nn.sigmoid), staticmethod(jnp.tanh)

    w = numbers(2, 4, 4, seed=2)
    one, other = recorded(
        lambda w: run(w, 0.0, torch, torch.tensor), lambda w: run(w, 1.0, Both, jnp.asarray), w
    )
    found = [f.note for _, f in gp.align(one, other).findings() if f.parity is False]
    assert len(found) == 1
    assert "its number is 1 there and 0 here" in found[0]
    assert f"and so at {steps - 1} other nodes" in found[0]
