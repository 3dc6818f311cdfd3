"""A parameter that one of two programs does not use, and scales of attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional


def notes(one: Callable[..., Any], other: Callable[..., Any]) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 4), (4, 4), (3, 2, 4)
    start, w, x = (torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes)
    start.requires_grad_(), w.requires_grad_()
    recorded = [gp.record(lambda f=f: f(start, w, x), keep=True) for f in (one, other)]
    return [f.note for f in gp.align(*recorded).runs[0].findings if f.parity is False]


def recurrent(start: Any, w: Any, x: Any) -> Any:
    h, out = start, []
    for now in x:
        h = torch.tanh(now + h @ w)
        out.append(h)
    return torch.stack(out).pow(2).sum()


def from_zeros(start: Any, w: Any, x: Any) -> Any:
    return recurrent(torch.zeros(2, 4, dtype=torch.float64), w, x)


def from_zeros_with_start(start: Any, w: Any, x: Any) -> Any:
    start.exp()
    return from_zeros(start, w, x)


@pytest.mark.parametrize("without", [from_zeros, from_zeros_with_start])
def test_a_learned_start_left_out(without: Any) -> None:
    assert "zeros stand in its place" in notes(recurrent, without)[0]
    assert "is left out there" in notes(recurrent, without)[0]
    assert "is left out here" in notes(without, recurrent)[0]


def test_another_start_is_none_left_out() -> None:
    found = notes(recurrent, lambda start, w, x: recurrent(start.sin(), w, x))
    assert "zeros" not in found[0]


def attention(scale: float | None) -> Callable[..., Any]:
    def f(start: Any, w: Any, x: Any) -> Any:
        q = (x @ w)[:, None]
        return F.scaled_dot_product_attention(q, q.sin(), q.cos(), scale=scale).pow(2).sum()

    return f


def written(divisor: float) -> Callable[..., Any]:
    def f(start: Any, w: Any, x: Any) -> Any:
        q = x @ w
        p = torch.softmax((q / divisor) @ q.sin().mT, -1)
        return (p @ q.cos()).pow(2).sum()

    return f


@pytest.mark.parametrize(("scale", "divisor"), [(None, 8.0), (0.25, 2.0)])
def test_another_scale_inside_of_attention(scale: float | None, divisor: float) -> None:
    inside = 1 / (scale or 0.5)
    said = f"the scale is {divisor:.6g} here and {inside:.6g} there"
    assert said in notes(written(divisor), attention(scale))[0]
    assert notes(attention(scale), written(divisor))
    assert not notes(written(inside), attention(scale))
