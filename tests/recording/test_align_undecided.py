"""Numbers that nothing can be said of: NaN in both programs, and arrays without elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

LAYER = torch.nn.Linear(4, 3).double()
X = np.random.default_rng(0).standard_normal((5, 4))


def original(layer: Any, x: Any) -> Any:
    return (layer(x) ** 2).mean()


def port(p: Any, x: Any) -> Any:
    return ((x @ p["weight"].T + p["bias"]) ** 2).mean()


def other_port(p: Any, x: Any) -> Any:
    return ((x @ p["weight"].T + p["bias"]) ** 4).mean()


def recorded(f: Any, x: Any, name: str) -> gp.Recording:
    if f is original:
        return gp.record(f, LAYER, torch.tensor(x), name=name, keep=True)
    with jax.enable_x64(True):
        params = {n: jnp.asarray(w.detach().numpy()) for n, w in LAYER.named_parameters()}
        return gp.record(f, params, x, name=name, keep=True)


def test_nan_in_both_is_said_in_the_answer() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    report = gp.align(recorded(original, x, "one"), recorded(port, x, "two"))
    assert report.exit_code == 2
    about = report.runs[0].about
    assert "it is unknown whether 'one' is right by itself: value addmm_1, at node" in about
    assert "it is unknown whether 'two' is right by itself: value dot_general_1" in about
    assert "NaN enters here: 1 of 20 elements" in about


def test_right_programs_are_not_called_unknown() -> None:
    report = gp.align(recorded(original, X, "one"), recorded(port, X, "two"))
    assert report.exit_code == 0
    assert "unknown" not in report.runs[0].about
    report = gp.align(recorded(original, X, "one"), recorded(other_port, X, "two"))
    assert report.exit_code == 1
    assert "unknown" not in report.runs[0].about


def test_gradients_that_are_all_zero_are_named() -> None:
    x = np.zeros((5, 4))
    one, two = (recorded(lambda p, x: port(p, x) * 0.0, x, name) for name in ("one", "two"))
    report = gp.align(one, two)
    assert report.exit_code == 2
    said = "'two' is right by itself: the gradients by weight, bias are zero or below their own"
    assert said in report.runs[0].about


@pytest.mark.parametrize(("here", "there"), [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("f", [original, port])
def test_an_empty_batch_is_refused_by_name(f: Any, here: int, there: int) -> None:
    empty = "one" if here == 0 else "two"
    one, two = recorded(f, X[:here], "one"), recorded(port, X[:there], "two")
    said = rf"the loss of '{empty}' is made of '.*pow_1', which is empty, .* as 'arg1' of shape \(0"
    with pytest.raises(ValueError, match=said):
        gp.align(one, two)


@pytest.mark.parametrize(
    "f",
    [
        lambda w: (jnp.concatenate([jnp.zeros((0, 4)), w]) ** 3).sum(),
        lambda w: (w**3).sum() + w[:0].sum(),
        lambda w: ((w[:, :0] @ w[:0, :] + w) ** 3).sum(),
    ],
)
def test_a_loss_of_more_than_an_empty_array_is_compared(f: Any) -> None:
    with jax.enable_x64(True):
        one, two = (gp.record(f, jnp.asarray(X), name=n, keep=True) for n in ("one", "two"))
    assert gp.align(one, two).exit_code == 0
