"""`align` of two steps that the other program takes in the other order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

from .side_by_side import numbers, recorded  # noqa: E402

X, SCALE, BIAS, W = numbers(3, 4, 6), numbers(3, 1, 1, seed=1), numbers(4, 6, seed=2), numbers(6, 6)
COS, SIN = numbers(4, 3, seed=5), numbers(4, 3, seed=6)


def norm(x: Any) -> Any:
    return x / (x**2 + 0.1).mean(-1)[..., None] ** 0.5


def rotated(x: Any, of: Any, join: Any) -> Any:
    a, b, cos, sin = x[..., :3], x[..., 3:], of(COS), of(SIN)
    return join([a * cos - b * sin, b * cos + a * sin], -1)


def note(one: Any, other: Any) -> tuple[str, str]:
    """The only difference."""
    found = [f for f in gp.align(one, other).runs[0].findings if f.parity is False]
    assert len(found) == 1
    return found[0].node, found[0].note


@pytest.mark.parametrize("left_out", ["", "bias"])
def test_a_bias_before_the_scale(left_out: str) -> None:
    def plain(x: Any, scale: Any, bias: Any) -> Any:
        return ((x**3 * scale.exp() + bias).softmax(-1) ** 2).sum()

    def port(x: Any, scale: Any, bias: Any) -> Any:
        z = x**3
        s = z * jnp.exp(scale) if left_out else (z + bias) * jnp.exp(scale)
        return (jax.nn.softmax(s, -1) ** 2).sum()

    with jax.enable_x64(True):
        one, other = recorded(plain, port, X, SCALE, BIAS)
        node, said = note(one, other)
        assert ("order of two steps is exchanged" in said) == (not left_out)
        if not left_out:
            assert node == "mul_1"
            assert "mul_1 before add_1 here and after there" in said
            node, said = note(other, one)
            assert node.startswith("add_")
            assert "before mul_" in said


def test_a_norm_after_the_rotation() -> None:
    def plain(x: Any, w: Any) -> Any:
        q, k = (rotated(norm(x @ w[i] / 2), torch.tensor, torch.cat) for i in (0, 1))
        return ((q @ k.transpose(-1, -2)) ** 2).sum()

    def port(x: Any, w: Any) -> Any:
        q, k = (norm(rotated(x @ w[i] / 2, jnp.asarray, jnp.concatenate)) for i in (0, 1))
        return ((q @ k.transpose(0, 2, 1)) ** 2).sum()

    with jax.enable_x64(True):
        both = recorded(plain, port, X, np.stack([W, W.T]))
        for one, other in (both, both[::-1]):
            _, said = note(one, other)
            assert "order of two steps is exchanged" in said
            assert "left out" not in said


@pytest.mark.parametrize("branch", ["before", "none"])
def test_a_norm_before_the_branch_in_place_of_after_the_sum(branch: str) -> None:
    def plain(x: Any, w: Any) -> Any:
        y = norm(x + torch.tanh(x @ w))
        return (y**3).sum()

    def port(x: Any, w: Any) -> Any:
        y = x + jnp.tanh(norm(x) @ w)
        return ((y if branch == "before" else x + jnp.tanh(x @ w)) ** 3).sum()

    with jax.enable_x64(True):
        both = recorded(plain, port, X, W)
        for one, other in (both, both[::-1]):
            _, said = note(one, other)
            assert ("the order is another one" in said) == (branch == "before")
