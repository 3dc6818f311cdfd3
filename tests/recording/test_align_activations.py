"""Activations written out in steps, gates of another factor, and parts taken of a value."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional


def first_note(one: Callable[..., Any], other: Callable[..., Any]) -> str:
    """The first difference of two functions of a product; "" if there is none."""
    generator = torch.Generator().manual_seed(0)
    w, x = (torch.randn(6, 6, dtype=torch.float64, generator=generator) for _ in range(2))
    w.requires_grad_()
    recorded = [gp.record(lambda f=f: f(x @ w).pow(3).sum(), keep=True) for f in (one, other)]
    found = [f.note for f in gp.align(*recorded).runs[0].findings if f.parity is False]
    return found[0] if found else ""


def gelu(a: Any) -> Any:
    return 0.5 * a * (1 + torch.erf(a / sqrt(2)))


def gelu_tanh(a: Any) -> Any:
    return 0.5 * a * (1 + torch.tanh(sqrt(2 / pi) * (a + 0.044715 * a**3)))


def quick_gelu(a: Any) -> Any:
    return a * torch.sigmoid(1.702 * a)


def silu(a: Any) -> Any:
    return a / (1 + torch.exp(-a))


def softplus(a: Any) -> Any:
    return torch.log(1 + torch.exp(a))


NAMED = {
    gelu: "GELU(approximate='none')",
    gelu_tanh: "GELU(approximate='tanh')",
    quick_gelu: "quick GELU",
    silu: "SiLU",
    softplus: "Softplus",
}
PAIRS = [(gelu, gelu_tanh), (gelu, quick_gelu), (gelu_tanh, silu), (silu, softplus)]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_activations_in_steps_are_named(one: Any, other: Any) -> None:
    for a, b in ((one, other), (other, one)):
        note = first_note(a, b)
        assert NAMED[a] in note
        assert NAMED[b] in note


@pytest.mark.parametrize(("steps", "op"), [(gelu, F.gelu), (silu, F.silu), (softplus, F.softplus)])
def test_an_activation_in_steps_is_the_same(steps: Any, op: Any) -> None:
    assert not first_note(steps, op)
    assert not first_note(op, steps)


@pytest.mark.parametrize("op", [F.silu, F.relu])
def test_an_activation_in_steps_and_an_op(op: Any) -> None:
    for a, b in ((gelu, op), (op, gelu)):
        note = first_note(a, b)
        assert "GELU" in note
        assert {F.silu: "SiLU", F.relu: "ReLU"}[op] in note


def test_another_function_is_no_named_activation() -> None:
    note = first_note(gelu, lambda a: 0.5 * a * (1 + torch.erf(a / sqrt(3))))
    assert "GELU(approximate='tanh')" not in note
    assert "SiLU" not in note


@pytest.mark.parametrize("act", [F.silu, torch.sigmoid, F.gelu])
def test_a_gate_on_the_other_factor(act: Any) -> None:
    def gated(a: Any) -> Any:
        return act(a * 1.5) * torch.sin(a.T)

    def exchanged(a: Any) -> Any:
        return a * 1.5 * act(torch.sin(a.T))

    for one, other in ((gated, exchanged), (exchanged, gated)):
        note = first_note(one, other)
        assert "is applied to" in note
        assert "and instead to" in note
    assert not first_note(gated, lambda a: torch.sin(a.T) * act(a * 1.5))


def test_a_part_of_a_value_is_taken() -> None:
    def part(a: Any) -> Any:
        return torch.tanh(a)[:, 1:].mean(1)

    def whole(a: Any) -> Any:
        return torch.tanh(a).mean(1)

    assert "only a part of tanh_1 is taken here, and all of it there" in first_note(part, whole)
    assert "only a part of tanh_1 is taken there, and all of it here" in first_note(whole, part)
    assert "all of it" not in first_note(part, lambda a: torch.tanh(a)[:, :-1].mean(1))
