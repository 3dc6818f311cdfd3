"""Steps whose gradients are accumulated over micro-batches, against a step of the whole batch."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional
pytestmark = pytest.mark.usefixtures("seeded")


def step(sizes: list[int], shares: list[float], weights: Any = None) -> gp.Recording:
    torch.manual_seed(0)
    w = torch.randn(6, 5, requires_grad=True)
    x, d = torch.randn(24, 6), torch.randint(0, 5, (24,))
    with gp.record(name="step", keep=True) as seen:
        for xs, ds, share in zip(x.split(sizes), d.split(sizes), shares, strict=True):
            (F.cross_entropy(xs @ w, ds, weights) * share).backward()
    return seen


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [([12, 12], [0.5, 0.5]), ([5, 19], [5 / 24, 19 / 24]), ([8, 8, 8], [1 / 3] * 3)],
)
@pytest.mark.parametrize("turned", [False, True])
def test_right_shares(sizes: list[int], shares: list[float], turned: bool) -> None:
    both = step([24], [1.0]), step(sizes, shares)
    report = gp.align(*both[::-1] if turned else both)
    assert report.exit_code == 0, report.runs[0].about


@pytest.mark.parametrize(
    ("sizes", "shares"), [([5, 19], [0.5, 0.5]), ([12, 12], [1.0, 1.0]), ([8, 8, 8], [0.5] * 3)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_other_shares_are_named_at_the_loss(
    sizes: list[int], shares: list[float], turned: bool
) -> None:
    both = step([24], [1.0]), step(sizes, shares)
    report = gp.align(*both[::-1] if turned else both)
    (found,) = [f for _, f in report.findings() if f.parity is False]
    assert found.node.startswith("nll_loss_forward")
    assert f"is taken {'here' if turned else 'there'} in parts of" in found.note


def test_a_wrong_gradient_of_a_micro_batch_is_found() -> None:
    whole, parts = step([24], [1.0]), step([12, 12], [0.5, 0.5])
    last = parts._finals[-1]
    parts._finals[-1] = type(last)(**{**vars(last), "got": last.got * 1.1})
    assert gp.align(whole, parts).exit_code == 1
