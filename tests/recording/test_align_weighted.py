"""`align` of programs whose values are all equal by structure, and whose gradients differ."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

from .side_by_side import numbers  # noqa: E402

jnp = jax.numpy

X, W, BOOK = numbers(7, 5), numbers(5, 3, seed=1), numbers(6, 3, seed=2)
OUT = numbers(3, 5, seed=3)


def original(w: Any, book: Any, out: Any) -> Any:
    x = torch.tensor(X)
    z = x @ w
    q = book[torch.cdist(z, book).argmin(1)]
    terms = ((q - z.detach()) ** 2).mean(), ((q.detach() - z) ** 2).mean()
    return ((z + (q - z).detach()) @ out - x).square().mean() + terms[0] + 0.25 * terms[1]


def port(weights: tuple[float, float], straight: bool = True) -> Any:
    def f(w: Any, book: Any, out: Any) -> Any:
        stop, z = jax.lax.stop_gradient, X @ w
        q = book[jnp.argmin(((z[:, None] - book) ** 2).sum(-1), 1)]
        terms = jnp.mean((q - stop(z)) ** 2), jnp.mean((stop(q) - z) ** 2)
        passed = z + stop(q - z) if straight else q
        error = jnp.mean(jnp.square(passed @ out - X))
        return error + weights[0] * terms[0] + weights[1] * terms[1]

    return f


def recorded(f: Any) -> tuple[Any, Any]:
    """The original, and a port of it, recorded with the same numbers."""
    tensors = [torch.tensor(a, requires_grad=True) for a in (W, BOOK, OUT)]
    one = gp.record(original, *tensors, name="one", keep=True)
    arrays = (jnp.asarray(a) for a in (W, BOOK, OUT))
    return one, gp.record(f, *arrays, argnums=(0, 1, 2), name="other", keep=True)


def notes(one: Any, other: Any) -> set[tuple[str, str]]:
    findings = gp.align(one, other).runs[0].findings
    return {(f.node, f.note) for f in findings if f.parity is False}


def test_weights_of_equal_terms_that_are_exchanged() -> None:
    with jax.enable_x64(True):
        one, right = recorded(port((1.0, 0.25)))
        other = recorded(port((0.25, 1.0)))[1]
        for both in ((one, right), (right, one)):
            assert not notes(*both)
        ((node, note),) = notes(one, other)
        assert node == "mean_1"
        assert "mean_1 and mean_2 are equal, but their weights are exchanged there" in note
        assert "1 here and 0.25 there by mean_1, 0.25 here and 1 there by mean_2" in note
        ((node, note),) = notes(other, one)
        assert node == "div_1"
        assert "div_1 and div_2 are equal, but their weights are exchanged" in note
        assert "0.25 here and 1 there" in note


def test_weights_of_equal_terms_that_have_the_same_sum() -> None:
    with jax.enable_x64(True):
        one, other = recorded(port((0.5, 0.75)))
        ((node, note),) = notes(one, other)
        assert node == "mean_1"
        assert "mean_1 and mean_2 are equal, but not their weights" in note
        assert "1 here and 0.5 there by mean_1, 0.25 here and 0.75 there by mean_2" in note
        ((node, note),) = notes(other, one)
        assert "0.5 here and 1 there" in note


def test_what_neither_weights_nor_another_way_explain_is_no_constant() -> None:
    with jax.enable_x64(True):
        one, other = recorded(port((0.5, 0.75), straight=False))
        for both in ((one, other), (other, one)):
            found = notes(*both)
            assert found
            assert not any("is a constant" in note for _, note in found)


def test_an_estimate_that_is_not_straight_through() -> None:
    with jax.enable_x64(True):
        one, other = recorded(port((1.0, 0.25), straight=False))
        ((node, note),) = notes(one, other)
        assert node == "mm_2"
        assert "mm_2 takes add_1 here and the equal value index_1 there" in note
        ((node, note),) = notes(other, one)
        assert node.startswith("dot_general")
        assert "at 'mm_2'" in note
        assert "takes add_1 there and the equal value index_1 here" in note
