"""`align` of programs that take different parts of one array: sample by sample, and all at once."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

from .side_by_side import numbers  # noqa: E402

SCORES, MOVES = numbers(2, 4, 3), numbers(3, 3, seed=1)


def loop(x: Any, moves: Any) -> Any:
    e, total = torch.tanh(x), 0.0
    for b in range(2):
        alpha = e[b, 0]
        for t in range(1, 4):
            alpha = torch.logsumexp(alpha[:, None] + moves, 0) + e[b, t]
        total = total + torch.logsumexp(alpha, 0) - e[b].sum()
    return total / 2


def batched(x: Any, moves: Any, fault: str) -> Any:
    e = torch.tanh(x)
    score, alpha = e.sum((1, 2)), e[:, 0]
    for t in range(1, 4):
        s = alpha.unsqueeze(2) + moves + e[:, t].unsqueeze(1)
        alpha = s.amax(1) if fault == "largest" else torch.logsumexp(s, 1)
    return (torch.logsumexp(alpha, 1) - score).mean()


@pytest.mark.parametrize("fault", ["", "largest"])
def test_no_other_part_of_an_array_is_a_cause(fault: str) -> None:
    one, other = (
        gp.record(f, *(torch.tensor(a, requires_grad=True) for a in (SCORES, MOVES)), keep=True)
        for f in (loop, lambda x, moves: batched(x, moves, fault))
    )
    for both in ((one, other), (other, one)):
        report = gp.align(*both)
        assert report.exit_code == bool(fault)
        notes = [f.note for f in report.runs[0].findings if f.parity is False]
        assert bool(notes) == bool(fault)
        words = ("shifted", "mirrored", "axis is")
        assert not [note for note in notes for word in words if word in note]
