"""A part of a value, such as without its diagonal or some rows, of which the other takes all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gradparity as gp

from .side_by_side import numbers

torch = pytest.importorskip("torch")

F = torch.nn.functional

N = 4
A, B, W = numbers(6, 5), numbers(6, 5, seed=1), numbers(5, N, seed=2)
OFF = ~torch.eye(N, dtype=torch.bool)
UPPER = torch.ones(N, N, dtype=torch.bool).triu(1)


def causes(f: Callable[..., Any], here: str, there: str) -> list[list[str]]:
    """The differences of one function, written in two ways, in both directions."""
    made = []
    for how in (here, there):
        w = torch.tensor(W, requires_grad=True)
        made.append(gp.record(lambda w, how=how: f(how, w), w, keep=True))
    both = (made, made[::-1])
    return [[f.note for f in gp.align(*m).runs[0].findings if f.parity is False] for m in both]


def crossed(how: str, w: Any) -> Any:
    """The loss of a matrix of correlations: its diagonal near 1, and the rest near 0."""
    a, b = (torch.tanh(torch.tensor(x) @ w) for x in (A, B))
    c = a.T @ b / 6
    diagonal = torch.diagonal(c)
    if how == "sliced":
        rest = c.flatten()[:-1].view(N - 1, N + 1)[:, 1:].flatten().pow(2).sum()
    elif how == "filled":
        rest = c.masked_fill(~OFF, 0.0).square().sum()
    elif how == "subtracted":
        rest = c.square().sum() - diagonal.square().sum()
    elif how in ("picked", "upper"):
        rest = c[OFF if how == "picked" else UPPER].square().sum()
    else:
        rest = c.square().sum()
    return (diagonal - 1).square().sum() + 0.05 * rest


WAYS = ("sliced", "filled", "subtracted", "picked")


@pytest.mark.parametrize("how", WAYS)
def test_the_whole_matrix_in_the_place_of_what_is_beside_its_diagonal(how: str) -> None:
    for notes in causes(crossed, how, "whole"):
        assert len(notes) == 1
        assert "no such value" not in notes[0]
        assert "left out" in notes[0]
    if how in ("sliced", "picked"):
        assert "the one without its diagonal," in notes[0]


def test_the_whole_matrix_in_the_place_of_a_triangle() -> None:
    for notes in causes(crossed, "upper", "whole"):
        assert "the one above its diagonal," in notes[0]


@pytest.mark.parametrize("how", WAYS[1:])
def test_ways_to_leave_out_a_diagonal_are_the_same(how: str) -> None:
    assert causes(crossed, WAYS[0], how) == [[], []]


FOUND = torch.tensor([True, False, True, True, False, True])


def boxes(how: str, w: Any) -> Any:
    """A smooth loss of some rows, which are picked before or hidden after, with a beta."""
    kind, beta, times = how.split()
    y, aim = torch.tensor(A) @ w, torch.tensor(numbers(6, N, seed=3))
    if kind == "picked":
        loss = F.smooth_l1_loss(y[FOUND], aim[FOUND], beta=float(beta), reduction="sum")
    else:
        far = (y - aim).abs()
        b = float(beta)
        each = torch.where(far < b, 0.5 * far**2 / b, far - 0.5 * b) * float(times)
        loss = (each * FOUND[:, None]).sum()
    return (loss + y.square().sum()) / 4


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("hidden 0.5 1", ("",)),
        ("hidden 0.5 0.5", ("0.5", "2 times")),
        ("hidden 0.5 0.1", ("0.1 times", "10 times")),
        ("hidden 1.0 1", ("beta is 0.5", "beta is 0.5")),
    ],
)
def test_rows_that_are_picked_or_hidden(there: str, said: tuple[str, ...]) -> None:
    for notes, cause in zip(causes(boxes, "picked 0.5 1", there), said * 2, strict=False):
        if not cause:
            assert not notes
        else:
            assert "no such value" not in notes[0]
            assert cause in notes[0]
