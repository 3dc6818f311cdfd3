"""Joined values in another order are named at the node that joins them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional


def aligned(one: Callable[..., Any], other: Callable[..., Any]) -> list[Any]:
    """The mismatches of two functions of three inputs and a weight."""
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 4), (3, 4), (12, 5)
    a, b, w = (torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes)
    w.requires_grad_()
    c = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    recorded = [gp.record(lambda f=f: f(a, b, c, w), keep=True) for f in (one, other)]
    return [f for f in gp.align(*recorded).runs[0].findings if f.parity is False]


def concatenated(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    joined = torch.cat([torch.tanh(a * first), torch.sigmoid(b * first), c * first], 1)
    return torch.tanh(joined @ w).pow(2).sum()


def exchanged(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    joined = torch.cat([torch.sigmoid(b * first), torch.tanh(a * first), c * first], 1)
    return torch.tanh(joined @ w).pow(2).sum()


def in_another_layout(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    columns = [torch.tanh(a * first).T, torch.sigmoid(b * first).T, (c * first).T]
    return torch.tanh((w.T @ torch.cat(columns, 0)).T).pow(2).sum()


def parts_of_a_sum(a: Any, b: Any, c: Any, w: Any) -> Any:
    """The same product of the same parts, whose order makes no difference."""
    first = torch.sin(w[:4]).sum()
    joined = torch.cat([torch.sigmoid(b * first), torch.tanh(a * first), c * first], 1)
    rows = torch.cat([w[4:8], w[:4], w[8:]])
    return torch.tanh(joined @ rows).pow(2).sum()


def stacked(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    values = torch.stack([torch.tanh(a * first), torch.sigmoid(b * first), c * first], 1)
    return torch.tanh(values.flatten(1) @ w).pow(2).sum()


def stacked_exchanged(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    values = torch.stack([c * first, torch.sigmoid(b * first), torch.tanh(a * first)], 1)
    return torch.tanh(values.flatten(1) @ w).pow(2).sum()


@pytest.mark.parametrize(
    ("one", "other", "op"),
    [(concatenated, exchanged, "Concatenate"), (stacked, stacked_exchanged, "Stack"),
     (in_another_layout, exchanged, "Concatenate"), (concatenated, stacked_exchanged, "Concat")],
)  # fmt: skip
def test_joined_values_in_another_order(one: Any, other: Any, op: str) -> None:
    for found in (aligned(one, other)[0], aligned(other, one)[0]):
        assert "its inputs are in the order" in found.note
    assert op in aligned(one, other)[0].op


@pytest.mark.parametrize("twin", [in_another_layout, stacked])
def test_joined_in_another_layout_is_the_same(twin: Any) -> None:
    assert not aligned(concatenated, twin)
    assert not aligned(twin, concatenated)


def test_parts_and_rows_in_the_same_other_order_are_the_same() -> None:
    assert not aligned(concatenated, parts_of_a_sum)
    assert not aligned(parts_of_a_sum, concatenated)


def test_another_value_joined_is_no_other_order() -> None:
    def other(a: Any, b: Any, c: Any, w: Any) -> Any:
        return concatenated(b.cos(), a.cos(), c, w)

    assert "in the order" not in aligned(concatenated, other)[0].note


def half_scaled(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    scaled = torch.tanh(a * first) / 0.2, torch.sigmoid(b * first) / 0.2
    return torch.cat([*scaled, c * first], 1).exp().sum(1).log().sum()


def scaled(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    joined = torch.cat([torch.tanh(a * first), torch.sigmoid(b * first), c * first], 1)
    return (joined / 0.2).logsumexp(1).sum()


def all_scaled_apart(a: Any, b: Any, c: Any, w: Any) -> Any:
    first = torch.sin(w[:4]).sum()
    parts = torch.tanh(a * first) / 0.2, torch.sigmoid(b * first) / 0.2, c * first / 0.2
    return sum(part.exp().sum(1) for part in parts).log().sum()


def test_a_factor_left_out_for_one_part() -> None:
    assert "left out there for mul_3" in aligned(scaled, half_scaled)[0].note
    assert "left out here for mul_3" in aligned(half_scaled, scaled)[0].note


def test_a_factor_on_each_part_is_the_same() -> None:
    assert not aligned(scaled, all_scaled_apart)
    assert not aligned(all_scaled_apart, scaled)
