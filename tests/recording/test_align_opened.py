"""`align` beside ops that one program computes in one and the other in steps, or in a loop."""

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


def notes(one: Any, other: Any) -> list[str]:
    return [f.note for _, f in gp.align(one, other).findings() if f.parity is False]


Q, K, V = (numbers(3, 2, 5, 4, seed=i) for i in range(3))


def library(q: Any, k: Any, v: Any) -> Any:
    return (F.scaled_dot_product_attention(q, k, v, is_causal=True) ** 3).sum()


def by_steps(q: Any, k: Any, v: Any, scale: float = 0.5) -> Any:
    seen = np.tri(5, 5, dtype=bool)
    scores = jnp.where(seen, (q @ k.mT) * scale, -1e9)
    return ((jax.nn.softmax(scores) @ v) ** 3).sum()


@pytest.mark.parametrize("turned", [False, True])
class TestAttention:
    def told(self, turned: bool, **fault: Any) -> str:
        one, other = recorded(library, lambda *a: by_steps(*a, **fault), Q, K, V)
        (note,) = notes(other, one) if turned else notes(one, other)
        return note

    def test_the_same(self, turned: bool) -> None:
        one, other = recorded(library, by_steps, Q, K, V)
        assert notes(*((other, one) if turned else (one, other))) == []

    def test_another_scale(self, turned: bool) -> None:
        note = self.told(turned, scale=0.3)
        assert "0.3" in note
        assert "0.5" in note


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("divided", [False, True])
def test_eps_outside_of_the_root(divided: bool, turned: bool) -> None:
    x, eps = numbers(4, 6), 1e-3

    def inside(x: Any) -> Any:
        var = x.var(-1, keepdim=True, correction=0)
        by = torch.rsqrt(var + eps) if divided else 1 / torch.sqrt(var + eps)
        return (((x - x.mean(-1, keepdim=True)) * by) ** 3).sum()

    def outside(x: Any) -> Any:
        std = jnp.sqrt(x.var(-1, keepdims=True)) + eps
        return (((x - x.mean(-1, keepdims=True)) / std) ** 3).sum()

    one, other = recorded(inside, outside, x)
    (note,) = notes(other, one) if turned else notes(one, other)
    assert "0.001 is added" in note
    assert "the root" in note


@pytest.mark.parametrize("turned", [False, True])
def test_a_loop_over_views_against_one_product(turned: bool) -> None:
    w, x = numbers(4, 3), numbers(2, 5, 4, seed=1)

    def loop(w: Any) -> Any:
        total = torch.zeros((), dtype=torch.float64)
        for view in torch.tensor(x):
            total = total + (torch.tanh((view @ w) / 0.5) ** 3).sum()
        return total

    def whole(w: Any, by: float) -> Any:
        return (jnp.tanh((jnp.asarray(x) @ w) / by) ** 3).sum()

    assert notes(*recorded(loop, lambda w: whole(w, 0.5), w)) == []
    one, other = recorded(loop, lambda w: whole(w, 0.25), w)
    (note,) = notes(other, one) if turned else notes(one, other)
    assert "0.5" in note
    assert "0.25" in note


def test_a_bias_inside_of_one_op() -> None:
    w, b, x = numbers(4, 3), numbers(3), numbers(5, 4, seed=1)

    def fused(w: Any, b: Any) -> Any:
        return (F.linear(torch.tensor(x), w.T, b) ** 3).sum()

    one, other = recorded(fused, lambda w, b: ((x @ w + 2 * b) ** 3).sum(), w, b)
    found = next(f for _, f in gp.align(one, other).findings() if f.parity is False)
    assert found.node == "addmm_1"
    assert "arg1 counts twice there" in found.note
