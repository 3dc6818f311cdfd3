"""`align` where one number differs at several nodes, on several lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

W = np.random.default_rng(7).standard_normal((3, 4, 4)) / 2
X = np.random.default_rng(8).standard_normal((5, 4))


def in_torch(w: Any) -> Any:
    norm = torch.nn.functional.layer_norm
    h = norm(torch.tanh(torch.tensor(X) @ w[0]), (4,), eps=1e-5)
    h = norm(torch.tanh(h @ w[1]), (4,), eps=1e-5)
    return (norm(torch.tanh(h @ w[2]), (4,), eps=1e-5) ** 3).sum()


def in_jax(w: Any, eps: tuple[float, ...]) -> Any:
    def norm(a: Any, e: float) -> Any:
        return (a - a.mean(-1, keepdims=True)) / jnp.sqrt(a.var(-1, keepdims=True) + e)

    h = norm(jnp.tanh(X @ w[0]), eps[0])
    h = norm(jnp.tanh(h @ w[1]), eps[1])
    return (norm(jnp.tanh(h @ w[2]), eps[2]) ** 3).sum()


def pair(*eps: float) -> tuple[Any, Any]:
    one = gp.record(in_torch, torch.tensor(W, requires_grad=True), keep=True)
    return one, gp.record(lambda w: in_jax(w, eps), jnp.asarray(W), keep=True)


def notes(one: Any, other: Any) -> list[str]:
    return [f.note for _, f in gp.align(one, other).findings() if f.parity is False]


@pytest.mark.parametrize("turned", [False, True])
def test_a_number_of_all_norms_is_told_once(turned: bool) -> None:
    one, other = pair(1e-3, 1e-3, 1e-3)
    (note,) = notes(*((other, one) if turned else (one, other)))
    assert "and so at 2 other nodes" in note
    assert "0.001" in note


def test_a_number_of_one_norm_is_told_there_alone() -> None:
    (note,) = notes(*pair(1e-5, 1e-3, 1e-5))
    assert "eps is 1e-05 here and 0.001 there; with it" in note


def test_numbers_of_two_norms_of_three() -> None:
    (note,) = notes(
        *pair(1e-3, 1e-5, 1e-3)
    )  # one cause is one paragraph, which names the other node too
    assert "eps is 1e-05 here and 0.001 there; with it" in note
    assert "and so at 'native_layer_norm_3'" in note


def test_the_same_number_everywhere_is_no_difference() -> None:
    assert notes(*pair(1e-5, 1e-5, 1e-5)) == []
