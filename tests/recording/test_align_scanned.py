"""A difference before a loop is found where the loop goes over what it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")
jnp = jax.numpy


def scanned(x: Any, w: Any, given: Any, reverse: bool = False) -> Any:
    def step(h: Any, now: Any) -> Any:
        h = now[1] * h + (1 - now[1]) * now[0]
        return h, h

    y = given(x @ w)
    gates = jax.nn.sigmoid(y[..., :4]), jnp.tanh(y[..., 4:])
    start = jnp.zeros((2, 4), x.dtype)
    return (jax.lax.scan(step, start, gates, reverse=reverse)[1] ** 3).sum()


def notes(one: Any, other: Any, reverse: bool) -> list[str]:
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, w = (jnp.asarray(rng.normal(size=s)) for s in ((5, 2, 3), (3, 8)))
        recorded = [
            gp.record(lambda w, f=f: scanned(x, w, f, reverse), w, keep=True) for f in (one, other)
        ]
        return [f.note for f in gp.align(*recorded).runs[0].findings if f.parity is False]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_difference_before_a_loop_is_the_only_one(reverse: bool) -> None:
    found = notes(jnp.sin, jnp.cos, reverse)
    assert len(found) == 1
    assert not notes(jnp.sin, lambda y: -jnp.sin(-y), reverse)


def test_the_difference_before_a_loop_is_named() -> None:
    found = notes(lambda y: y + 0.5, lambda y: y + 0.25, False)
    assert len(found) == 1
    assert "0.5 here and 0.25 there" in found[0]
