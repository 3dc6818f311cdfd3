"""Rotary embeddings that turn pairs of the two halves, or of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")

LAYERS, POSITIONS, WIDTH = 8, 5, 4
X = np.random.default_rng(0).standard_normal((2, POSITIONS, WIDTH))
W = np.random.default_rng(1).standard_normal((LAYERS, 3, WIDTH, WIDTH)) / 2
ANGLES = np.outer(np.arange(POSITIONS), 100.0 ** -np.arange(WIDTH // 2))
HALVES = "pairs of the halves here and of neighbours there"
#: The same, of the other program.
THERE = "pairs of the halves there and of neighbours here"


def by_halves(a: Any) -> Any:
    cos, sin = (torch.tensor(np.concatenate([f(ANGLES)] * 2, -1)) for f in (np.cos, np.sin))
    turned = torch.cat([-a[..., WIDTH // 2 :], a[..., : WIDTH // 2]], -1)
    return a * cos + turned * sin


def rotated(a: Any, halves: bool) -> Any:
    cos, sin = np.cos(ANGLES), np.sin(ANGLES)
    u, v = (a[..., :2], a[..., 2:]) if halves else (a[..., ::2], a[..., 1::2])
    both = u * cos - v * sin, v * cos + u * sin
    return jnp.concatenate(both, -1) if halves else jnp.stack(both, -1).reshape(a.shape)


def net(w: Any, x: Any, rotate: Any, softmax: Any, layers: int) -> Any:
    for layer in range(layers):
        q, k, v = (x @ w[layer, i] for i in range(3))
        x = x + softmax(rotate(q) @ rotate(k).mT) @ v
    return (x**3).sum()


def pair(halves: bool, layers: int = 1) -> tuple[Any, Any]:
    one = gp.record(
        lambda w: net(w, torch.tensor(X), by_halves, lambda s: s.softmax(-1), layers),
        torch.tensor(W, requires_grad=True), name="torch", keep=True,
    )  # fmt: skip
    other = gp.record(
        lambda w: net(w, jnp.asarray(X), lambda a: rotated(a, halves), jax.nn.softmax, layers),
        jnp.asarray(W), name="jax", keep=True,
    )  # fmt: skip
    return one, other


def notes(one: Any, other: Any) -> list[str]:
    return [f.note for _, f in gp.align(one, other).findings() if f.parity is False]


def test_the_same_layout() -> None:
    assert notes(*pair(halves=True, layers=2)) == []


@pytest.mark.parametrize("layers", [1, LAYERS])
def test_the_other_layout_is_told_once(layers: int) -> None:
    one, other = pair(halves=False, layers=layers)
    (note,) = notes(one, other)
    assert HALVES in note
    (note,) = notes(other, one)
    assert THERE in note or "pairs of neighbours here and of the halves there" in note
