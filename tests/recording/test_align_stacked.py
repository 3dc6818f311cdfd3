"""Gradients of layers in one program that are stacked in one array in the other one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

pytestmark = pytest.mark.usefixtures("in_float64")

#: More layers than are tried together without a look at their names.
LAYERS = 5
X = np.random.default_rng(0).standard_normal((4, 3))
W = np.random.default_rng(1).standard_normal((LAYERS, 3, 3))


def loop(ws: Any) -> Any:
    h = jax.numpy.asarray(X)
    for w in ws:
        h = h + jax.numpy.tanh(h @ w)
    return (h**3).sum()


def stacked(w: Any, cut: int | None) -> Any:
    terms = [jax.lax.stop_gradient(w[i]) if i == cut else w[i] for i in range(LAYERS)]
    return loop(terms)


def aligned(cut: int | None, turned: bool) -> Any:
    one = gp.record(loop, [jax.numpy.asarray(w) for w in W], name="loop", keep=True)
    other = gp.record(lambda w: stacked(w, cut), jax.numpy.asarray(W), name="stacked", keep=True)
    return gp.align(other, one) if turned else gp.align(one, other)


@pytest.mark.parametrize("turned", [False, True])
def test_stacked_layers_have_the_gradients_of_single_ones(turned: bool) -> None:
    report = aligned(None, turned)
    assert not [f for f in report.runs[0].findings if f.parity is False]
    assert report.exit_code == 0


@pytest.mark.parametrize("turned", [False, True])
def test_the_gradient_that_one_of_the_layers_lacks_is_found(turned: bool) -> None:
    report = aligned(2, turned)
    found = [f for f in report.runs[0].findings if f.parity is False]
    assert report.exit_code == 1
    assert found
    assert "gradient" in found[0].note
