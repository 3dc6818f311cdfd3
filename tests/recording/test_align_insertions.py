"""Operations that one program alone applies, other constants, and other parameters are named."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.aligning.causes.positions import bases, is_table
from gradparity.comparisons.aligning.causes.replacements import replacements
from gradparity.core.arithmetic.arrays import NDArray
from gradparity.core.network.calls import Call, Operand, Place
from gradparity.core.vocabulary.rearranging import Split

torch = pytest.importorskip("torch")

F = torch.nn.functional

MADE = np.random.default_rng(0)
X, W, U, T = (torch.tensor(MADE.standard_normal((6, 6))) for _ in range(4))
LINES = torch.tensor(MADE.standard_normal((2, 5, 4)))
MASK = torch.tensor(MADE.random((6, 6)) < 0.75) / 0.75


def note(one: Any, other: Any, *names: Any) -> str:
    """What is said of the first difference; "" if there is none."""
    made = []
    for f in (one, other):
        w, u = (a.clone().requires_grad_() for a in (W, U))
        made.append(gp.record(f, w, u, keep=True))
    found = gp.align(*made).runs[0].findings
    return next((f.note for f in found if f.parity is False), "")


def both(one: Any, other: Any, said: str) -> None:
    """Require a cause in both directions, here and there being exchanged in the other one."""
    turned = re.sub("there|here", lambda m: "here" if m[0] == "there" else "there", said)
    assert said in note(one, other)
    assert turned in note(other, one)
    assert not note(one, one)
    assert not note(other, other)


def test_dropout_that_one_program_alone_has() -> None:
    def net(mask: Any, w: Any, u: Any) -> Any:
        h = torch.tanh(X @ w)
        h = h if mask is None else h * (mask > 0) / 0.75
        return torch.sigmoid(h @ u).pow(3).sum()

    said = "dropout with the rate 0.25 there and none here"
    both(lambda w, u: net(None, w, u), lambda w, u: net(MASK, w, u), said)


def rotated(a: Any, base: float) -> Any:
    angle = np.arange(5.0)[:, None] * base ** -np.array([0, 0.5, 0, 0.5])
    cos, sin = torch.tensor(np.cos(angle)), torch.tensor(np.sin(angle))
    return a * cos + torch.cat([-a[..., 2:], a[..., :2]], -1) * sin


def attention(base: float, w: Any, u: Any) -> Any:
    q, k = (torch.tanh(LINES @ a[:4, :4]) for a in (w, u))
    if base:
        q, k = rotated(q, base), rotated(k, base)
    return ((q @ k.mT).softmax(-1) @ LINES).pow(3).sum()


def test_rotary_positions_left_out() -> None:
    found = note(lambda w, u: attention(0.0, w, u), lambda w, u: attention(1e4, w, u))
    assert "left out here" in found
    assert "rotary embeddings" in found
    found = note(lambda w, u: attention(1e4, w, u), lambda w, u: attention(0.0, w, u))
    assert "left out there" in found
    assert "rotary embeddings" in found


def test_rotary_positions_with_another_base() -> None:
    def net(base: float) -> Any:
        return lambda w, u: attention(base, w, u)

    said = "has the base {} here and {} there"
    assert said.format(10000, 500000) in note(net(1e4), net(5e5))
    assert said.format(500000, 10000) in note(net(5e5), net(1e4))


def test_tables_of_positions() -> None:
    angle = np.arange(6)[:, None] * 1e4 ** (-np.arange(3) / 3)
    assert bases(np.cos(angle), np.cos(angle)) is None
    assert is_table(np.sin(angle))
    assert not is_table(MADE.uniform(-1, 1, (6, 3)))
    assert not is_table(np.ones((6, 3)))


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (lambda t: t.T, "is transposed there"),
        (lambda t: t.flip(1), "is mirrored along axis 1 there"),
        (
            lambda t: t.roll(3, 1),
            "rolled there by -3 along axis 1, its halves",
        ),
        (lambda t: 3 * t, "is 3 times as large there"),
        (lambda t: t**3, "has other numbers there"),
    ],
)
def test_another_constant(there: Any, said: str) -> None:
    def net(t: Any) -> Any:
        return lambda w, u: (torch.tanh(X @ w @ u) - t).pow(4).sum()

    assert said in note(net(T), net(there(T)))


@pytest.mark.parametrize("turned", [False, True])
def test_parameters_of_another_layer(turned: bool) -> None:
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([torch.nn.Linear(6, 6) for _ in range(2)]).double()

    def net(layers: Any, second: int) -> Any:
        h = torch.tanh(layers[0](X))
        return torch.tanh(layers[second](h)).pow(3).sum()

    numbers = (0, 1) if turned else (1, 0)
    found = gp.align(*(gp.record(net, layers, i, keep=True) for i in numbers))
    said = "takes the parameters 1.weight, 1.bias {} and 0.weight, 0.bias {}"
    said = said.format(*(("there", "here") if turned else ("here", "there")))
    assert said in next(f.note for f in found.runs[0].findings if f.parity is False)


def test_statistics_of_the_batch_or_running_ones() -> None:
    mean, var = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)

    def net(training: bool) -> Any:
        return lambda w, u: (
            F.batch_norm(X @ w, mean.clone(), var.clone(), u[0], u[1], training).pow(3).sum()
        )

    both(net(True), net(False), "statistics of the batch here and the running ones there")


def test_the_mean_of_all_steps_in_place_of_the_last() -> None:
    def net(last: bool, w: Any, u: Any) -> Any:
        h = torch.tanh(LINES @ w[:4])
        return torch.sigmoid((h[:, -1] if last else h.mean(1)) @ u).pow(3).sum()

    def last(w: Any, u: Any) -> Any:
        return net(True, w, u)

    def mean(w: Any, u: Any) -> Any:
        return net(False, w, u)

    assert "it is a part of its input here and its mean over axis 1 there" in note(last, mean)
    assert "it is a mean here and the entry -1 of axis 1 there" in note(mean, last)


@pytest.mark.parametrize(
    ("delta", "half", "said"),
    [(0.5, 0.5, ""), (1.0, 0.5, "delta is 0.5 here and 1.0 there"), (0.5, 1.0, "times as large")],
)
def test_a_fused_huber_loss(delta: float, half: float, said: str) -> None:
    def fused(w: Any, u: Any) -> Any:
        return (X @ w @ u).pow(3).mean() + F.huber_loss(X @ w, T, delta=0.5)

    def written(w: Any, u: Any) -> Any:
        d = (X @ w - T).abs()
        each = torch.where(d < delta, half * d**2, delta * (d - 0.5 * delta))
        return (X @ w @ u).pow(3).mean() + each.mean()

    found = note(fused, written)
    assert said in found if said else not found


def test_a_split_is_not_taken_for_a_reduction() -> None:
    """An op with several results is none, though one of them may have fewer elements."""
    a = MADE.standard_normal((4, 6))
    z: tuple[NDArray, ...] = tuple(np.split(a, 2, 1))
    call = Call(
        Place("split_1"), Split((3, 3), 1), (Operand(a, "a"),), z, (None, None), "float64",
        names=("b", "c"),
    )  # fmt: skip
    assert all("sum" not in edit.said for edit in replacements(call, (a,)))


def test_the_next_layer_is_not_taken_for_operations_left_out() -> None:
    """With a value after a layer that both have, any node like one after it pairs."""

    def net(act: Any) -> Any:
        return lambda w, u: torch.relu(torch.relu(act(X @ w)) @ u).pow(3).sum()

    found = note(net(torch.sin), net(lambda a: torch.erf(a * a + 0.3 * a)))
    assert "goes on without" not in found
