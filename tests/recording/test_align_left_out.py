"""An argument that makes an op give its input back is the op left out."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional


def first_note(one: Any, other: Any) -> str:
    generator = torch.Generator().manual_seed(0)
    w, x = (torch.randn(4, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    w.requires_grad_()
    recorded = [gp.record(lambda f=f: f(x @ w).pow(3).sum(), keep=True) for f in (one, other)]
    report = gp.align(*recorded)
    return next(f.note for f in report.runs[0].findings if f.parity is False)


def test_a_mask_that_is_left_out_is_not_another_number() -> None:
    mask = torch.eye(4, dtype=torch.bool)

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
