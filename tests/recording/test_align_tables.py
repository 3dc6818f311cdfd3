"""Tables of positions of another base, which two programs hold in other shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.aligning.causes.positions import base_of, with_base

from .side_by_side import numbers

torch = pytest.importorskip("torch")

BATCH, STEPS, WIDTH = 2, 5, 6
X, W, U = numbers(BATCH, STEPS, WIDTH), numbers(WIDTH, WIDTH, seed=1), numbers(WIDTH, 4, seed=2)


def angles(base: float) -> Any:
    return np.outer(np.arange(STEPS), base ** -(np.arange(0, WIDTH, 2) / WIDTH))


def whole(base: float, batched: bool, w: Any, u: Any) -> Any:
    """Both halves at once, with the other half, turned, times the sines."""
    angle = torch.tensor(np.concatenate([angles(base)] * 2, -1))
    angle = angle.expand(BATCH, -1, -1) if batched else angle
    q = torch.tensor(X) @ w
    a, b = q.chunk(2, -1)
    q = q * angle.cos() + torch.cat([-b, a], -1) * angle.sin()
    return torch.sin(q @ u).pow(3).sum()


def halves(base: float, w: Any, u: Any) -> Any:
    """One half after the other, with tables made before."""
    cos, sin = (torch.tensor(f(angles(base))) for f in (np.cos, np.sin))
    a, b = (torch.tensor(X) @ w).chunk(2, -1)
    q = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    return torch.sin(q @ u).pow(3).sum()


def recorded(f: Any) -> Any:
    return gp.record(f, *(torch.tensor(a, requires_grad=True) for a in (W, U)), keep=True)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("base", [10000.0, 500000.0, 1000.0])
def test_halves_and_the_whole_with_another_base(base: float, batched: bool) -> None:
    one = recorded(lambda w, u: whole(10000.0, batched, w, u))
    other = recorded(lambda w, u: halves(base, w, u))
    for both, bases in (((one, other), (1e4, base)), ((other, one), (base, 1e4))):
        notes = [f.note for f in gp.align(*both).runs[0].findings if f.parity is False]
        if base == 10000.0:
            assert not notes
            continue
        assert len(notes) == 1
        assert "has the base {:.6g} here and {:.6g} there".format(*bases) in notes[0]


@pytest.mark.parametrize("wave", [np.cos, np.sin])
@pytest.mark.parametrize("twice", [1, 2])
def test_a_table_is_made_anew_with_another_base(wave: Any, twice: int) -> None:
    own, there = (wave(np.tile(angles(base), twice)) for base in (10000.0, 500000.0))
    assert base_of(own) == 10000.0
    assert base_of(numbers(5, 6)) is None
    made = with_base(own[None, :, None], 10000.0, 500000.0)
    assert made.shape == (1, STEPS, 1, WIDTH // 2 * twice)
    assert np.abs(made[0, :, 0] - there).max() < 1e-15
    with pytest.raises(ValueError, match="received one of shape"):
        with_base(numbers(5, 6), 10.0, 100.0)
