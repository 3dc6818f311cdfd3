"""An op is replaced: another activation, reduction or axis, halves exchanged, or none at all."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional


def first_note(one: Any, other: Any) -> str:
    generator = torch.Generator().manual_seed(0)
    w, x = (torch.randn(6, 6, dtype=torch.float64, generator=generator) for _ in range(2))
    w.requires_grad_()
    recorded = [gp.record(lambda f=f: f(x @ w).pow(3).sum(), keep=True) for f in (one, other)]
    report = gp.align(*recorded)
    return next(f.note for f in report.runs[0].findings if f.parity is False)


@pytest.mark.parametrize(
    ("one", "other", "here", "there"),
    [
        (torch.sigmoid, F.hardsigmoid, "Sigmoid", "Hardsigmoid"),
        (F.softplus, torch.exp, "Softplus", "Exp"),
        (torch.relu, torch.tanh, "ReLU", "Tanh"),
    ],
)
def test_another_activation_is_named_in_both_directions(
    one: Any, other: Any, here: str, there: str
) -> None:
    assert f"it is {here} here and {there} there" in first_note(one, other)
    assert f"it is {there} here and {here} there" in first_note(other, one)


def test_a_scaled_activation_is_not_another_one() -> None:
    note = first_note(torch.sigmoid, lambda a: 1.7 * torch.sigmoid(a))
    assert "it is Sigmoid here and" not in note


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda a: a * a.amax(1, keepdim=True), "it is a mean here and a maximum there"),
        (lambda a: a * a.mean(0, keepdim=True), "its mean are (1,) here and (0,) there"),
        (lambda a: a * a.sum(0, keepdim=True), "over the axes (1,) here and a sum over (0,)"),
    ],
)
def test_another_reduction_or_other_axes(other: Any, said: str) -> None:
    assert said in first_note(lambda a: a * a.mean(1, keepdim=True), other)


def test_a_mean_of_squares_is_not_another_reduction() -> None:
    note = first_note(lambda a: a * a.mean(1, keepdim=True), lambda a: a * a.pow(2).mean(1, True))
    assert "it is a mean here and a" not in note
    assert "the axes of its mean" not in note


def test_exchanged_halves_are_not_mirrored() -> None:
    def gated(a: Any) -> Any:
        value, gate = a.chunk(2, -1)
        return value * torch.tanh(gate)

    def exchanged(a: Any) -> Any:
        gate, value = a.chunk(2, -1)
        return value * torch.tanh(gate)

    assert "its two halves are exchanged" in first_note(gated, exchanged)
    note = first_note(gated, lambda a: gated(a.flip(-1)))
    assert "halves are exchanged" not in note


def test_a_difference_that_nothing_explains_is_not_an_operation_left_out() -> None:
    """The input of an op left out pairs whatever stands in its place."""
    note = first_note(torch.sigmoid, lambda a: torch.erf(a * a + 0.3 * a))
    assert "left out" not in note


def test_a_mask_that_is_left_out_is_not_another_number() -> None:
    mask = torch.eye(6, dtype=torch.bool)

    def masked(s: Any) -> Any:
        return s.masked_fill(mask, -5.0)

    def plain(s: Any) -> Any:
        return s

    assert "left out there" in first_note(masked, plain)


def test_softplus_left_out() -> None:
    assert first_note(F.softplus, lambda a: a).startswith("Softplus: left out there")


@pytest.mark.parametrize(("other", "left_out"), [(0.3, False), (1.0, True)])
def test_another_slope_is_left_out_only_if_it_is_one(other: float, left_out: bool) -> None:
    note = first_note(lambda a: F.leaky_relu(a, 0.1), lambda a: F.leaky_relu(a, other))
    assert ("left out there" in note) is left_out
    assert left_out or f"0.1 here and {other} there" in note
