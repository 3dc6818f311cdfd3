"""PyTorch's losses of margins in a recording."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import gradparity as gp

D = torch.float64
WEIGHT = torch.tensor([0.3, 1.0, 2.0, 0.0, 0.7])
LABELS = torch.tensor([3, 0, 1, 4])
SETS = torch.tensor([[3, 0, -1, 1, 2], [1, 1, 4, -1, -1], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4]])

LOSSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "hinge": lambda a: F.multi_margin_loss(a, LABELS),
    "sum": lambda a: F.multi_margin_loss(a, LABELS, reduction="sum", margin=0.5),
    "none": lambda a: F.multi_margin_loss(a, LABELS, reduction="none").exp().sum(),
    "square": lambda a: F.multi_margin_loss(a, LABELS, p=2),
    "weighted": lambda a: F.multi_margin_loss(a, LABELS, weight=WEIGHT.to(a.dtype)),
    "one": lambda a: F.multi_margin_loss(a[1], LABELS[1], p=2, weight=WEIGHT.to(a.dtype)),
    "labels": lambda a: F.multilabel_margin_loss(a, SETS),
    "labels sum": lambda a: F.multilabel_margin_loss(a, SETS, reduction="sum"),
    "labels none": lambda a: F.multilabel_margin_loss(a, SETS, reduction="none").square().sum(),
    "labels one": lambda a: F.multilabel_margin_loss(a[1], SETS[1]),
}


def recorded(loss: Callable[[torch.Tensor], torch.Tensor], a: torch.Tensor) -> gp.Recording:
    with gp.record() as seen:
        loss(a).backward()
    return seen


@pytest.mark.parametrize("dtype", [D, torch.float32])
@pytest.mark.parametrize("name", LOSSES)
def test_they_are_judged_by_their_formula(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    seen = recorded(LOSSES[name], torch.randn(4, 5, dtype=dtype, requires_grad=True))
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert "differences" not in seen.coverage_in_words


@pytest.mark.parametrize("name", ["hinge", "labels"])
def test_no_gradient_is_accused_at_a_kink(name: str) -> None:
    a = torch.tensor([[0.0, 1.0, 2.0, 3.0, 3.0]] * 4, requires_grad=True)
    assert not [f for f in recorded(LOSSES[name], a).findings if f.parity is False]


class Wrong(torch.autograd.Function):
    """A loss with a gradient that is doubled at one element."""

    @staticmethod
    def forward(ctx, a, loss):
        with torch.enable_grad():
            b = a.detach().requires_grad_()
            (grad,) = torch.autograd.grad(loss(b), b)
        grad.view(-1)[grad.abs().argmax()] *= 2
        ctx.save_for_backward(grad)
        return loss(a)

    @staticmethod
    def backward(ctx, dz):
        return dz * ctx.saved_tensors[0], None


@pytest.mark.parametrize("name", ["hinge", "sum", "square", "weighted", "labels"])
def test_a_wrong_gradient_is_accused_there(name: str) -> None:
    torch.manual_seed(0)
    a = torch.randn(4, 5, dtype=D, requires_grad=True)
    seen = recorded(lambda b: Wrong.apply(b, LOSSES[name]), a)
    accused = {seen.places[f.node].function for f in seen.findings if f.parity is False}
    assert accused == {"Wrong"}
