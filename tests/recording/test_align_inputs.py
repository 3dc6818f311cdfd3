"""`align` where the programs were given other numbers, and with a map of their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

RNG = np.random.default_rng(3)
X, W, Y = (RNG.standard_normal(shape) for shape in ((4, 5), (5, 3), (4, 3)))


def in_torch(x: Any, w: Any, y: Any) -> Any:
    return ((torch.tanh(x @ w) - y) ** 2).mean()


def in_jax(x: Any, w: Any, y: Any) -> Any:
    return jnp.mean((jnp.tanh(x @ w) - y) ** 2)


def one(x: Any = X, by_input: bool = False) -> Any:
    given = torch.tensor(x, requires_grad=by_input)
    return gp.record(
        in_torch, given, torch.tensor(W, requires_grad=True), torch.tensor(Y), keep=True
    )


def other(x: Any = X, y: Any = Y, by_input: bool = False) -> Any:
    argnums = (0, 1) if by_input else 1
    return gp.record(in_jax, *map(jnp.asarray, (x, W, y)), argnums=argnums, keep=True)


def notes(report: Any) -> list[str]:
    return [f.note for _, f in report.findings() if f.parity is False]


@pytest.mark.parametrize("by_input", [False, True])
@pytest.mark.parametrize(
    ("x", "how"),
    [
        (X / 255, "is 0.00392157 times as large there"),
        (X[::-1] + 1, "holds other numbers there"),
        (X - X.mean(0), "is centred, its mean subtracted, along axis 0 there"),
    ],
)
def test_other_numbers_of_an_input_are_told_at_its_first_use(
    x: Any, how: str, by_input: bool
) -> None:
    report = gp.align(one(by_input=by_input), other(x, by_input=by_input))
    assert notes(report) == [f"its input 'arg0' ('arg0' of the other program) {how}"]
    assert report.runs[0].about.startswith("'step' and 'step' differ: they first part at 'mm_1' (")


def test_a_difference_after_another_input_is_found_too() -> None:
    def halved(x: Any, w: Any, y: Any) -> Any:
        return 0.5 * in_jax(x, w, y)

    args = map(jnp.asarray, (2 * X, W, Y))
    (said, then) = notes(gp.align(one(), gp.record(halved, *args, argnums=1, keep=True)))
    assert "is 2 times as large there" in said
    assert "0.5" in then


def test_a_map_tells_rows_in_another_order() -> None:
    """Sorted elements are the same, so that without a map the values of all rows pair."""
    report = gp.align(one(), other(X[[1, 0, 2, 3]]), inputs={"arg0": "arg0"})
    assert "its input 'arg0' ('arg0' of the other program) is " in notes(report)[0]


def test_another_layout_of_an_input_is_no_difference() -> None:
    def turned(x: Any, w: Any, y: Any) -> Any:
        return in_jax(x.T, w, y)

    given = gp.record(turned, *map(jnp.asarray, (X.T, W, Y)), argnums=(0, 1), keep=True)
    for inputs in (None, {"arg0": "arg0", "arg2": "arg2"}):
        assert gp.align(one(by_input=True), given, inputs=inputs).exit_code == 0


def test_a_map_of_inputs_holds_their_gradients_to_each_other() -> None:
    """Two inputs of the same numbers, whose gradients are exchanged in one program."""

    def f(a: Any, b: Any) -> Any:
        return (a * a * b).sum()

    x = torch.tensor(X[0])
    a, b = (gp.record(f, x.clone().requires_grad_(), x.clone().requires_grad_(), keep=True)
            for _ in "ab")  # fmt: skip
    assert gp.align(a, b, inputs={"arg0": "arg0", "arg1": "arg1"}).exit_code == 0
    report = gp.align(a, b, inputs={"arg0": "arg1", "arg1": "arg0"})
    assert all("the gradient is not that of" in note for note in notes(report))
    assert len(notes(report)) == 2


def test_unported_weights_are_said_to_be_other_numbers() -> None:
    given = gp.record(in_jax, *map(jnp.asarray, (X, W + 1, Y)), argnums=1, keep=True)
    assert notes(gp.align(one(), given)) == [
        "its input 'arg1' ('arg1' of the other program) is 1 larger there"
    ]


@pytest.mark.parametrize(
    ("inputs", "error", "said"),
    [
        (["arg0"], TypeError, "inputs is .*give a mapping of the names in one to those in other"),
        ({"arg0": ["arg0"]}, TypeError, "inputs is "),
        ({"x": "arg0"}, ValueError, "'step' has no input 'x'; it has arg0, arg2, arg1"),
        ({"arg0": "arg7"}, ValueError, "has no input 'arg7'; did you mean"),
        ({"arg0": "arg1"}, ValueError, r"'arg0', of shape \(4, 5\), to 'arg1', of shape \(5, 3\)"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(inputs: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        gp.align(one(), other(), inputs=inputs)
