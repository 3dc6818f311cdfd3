"""Convolutions and norms of weights with another reach: the place and the cause are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

from .side_by_side import numbers

torch = pytest.importorskip("torch")

F = torch.nn.functional

X = numbers(3, 2, 9)
WEIGHT = numbers(4, 2, 3, seed=1)


def causes(f: Callable[..., Any], here: str, there: str, *arrays: Any) -> list[list[str]]:
    """The differences of one function, written in two ways, in both directions."""
    made = []
    for how in (here, there):
        own = [torch.tensor(a, requires_grad=True) for a in arrays]
        made.append(gp.record(lambda *a, how=how: f(how, *a), *own, keep=True))
    both = (made, made[::-1])
    return [[f.note for f in gp.align(*m).runs[0].findings if f.parity is False] for m in both]


def dilated(how: str, w: Any) -> Any:
    """A convolution that sees the past alone: padded on both sides and cropped, or on the left."""
    kind, dilation = how.split()
    d, x = int(dilation), torch.tensor(X)
    if kind == "cropped":
        y = F.conv1d(x, w, padding=2 * d, dilation=d)[..., : -2 * d]
    elif kind == "around":
        y = F.conv1d(x, w, padding=d, dilation=d)
    else:
        y = F.conv1d(F.pad(x, (2 * d, 0)), w, dilation=d)
    return torch.sin(y).pow(3).sum()


@pytest.mark.parametrize(
    ("here", "there", "right"),
    [
        ("cropped 1", "left 1", True),
        ("cropped 2", "left 2", True),
        ("cropped 2", "cropped 1", False),
        ("cropped 3", "cropped 1", False),
        ("around 2", "around 1", False),
        ("around 3", "around 2", False),
    ],
)
def test_another_dilation_of_which_the_value_is_as_long(here: str, there: str, right: bool) -> None:
    for notes in causes(dilated, here, there, WEIGHT):
        if right:
            assert not notes
        else:
            assert "dilation is" in notes[0]


def normed(how: str, v: Any, g: Any) -> Any:
    """A weight of given lengths, by the library or in steps over some axes."""
    if how == "library":
        w = torch._weight_norm(v, g, 0)
    else:
        axes = tuple(map(int, how.split()))
        w = g * v / v.square().sum(axes, keepdim=True).sqrt()
    return torch.sin(F.conv1d(torch.tensor(X), w)).pow(3).sum()


@pytest.mark.parametrize("axes", ["1 2", "0 1 2", "1", "0"])
def test_a_norm_of_a_weight_over_other_axes(axes: str) -> None:
    g = np.abs(numbers(4, 1, 1, seed=2)) + 0.5
    for notes in causes(normed, "library", axes, WEIGHT, g):
        if axes == "1 2":
            assert not notes
        else:
            assert "the axes of its norm are (1, 2)" in notes[0]
            assert f"({', '.join(axes.split())}{',' * (len(axes) == 1)})" in notes[0]
