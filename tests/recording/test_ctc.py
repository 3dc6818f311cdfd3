"""What is said of PyTorch's CTC, whose gradient takes its input for a log-softmax."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import gradparity as gp


def recorded(to_log: Callable[[torch.Tensor], torch.Tensor]) -> gp.Recording:
    torch.manual_seed(0)
    a = torch.randn(6, 2, 5, requires_grad=True)
    with gp.record() as seen:
        F.ctc_loss(
            to_log(a), torch.tensor([[1, 2], [3, 3]]), torch.tensor([6, 5]), torch.tensor([2, 2])
        ).backward()  # fmt: skip
    return seen


def accused(seen: gp.Recording) -> list[str]:
    return [seen.places[f.node].function for f in seen.findings if f.parity is False]


@pytest.mark.parametrize("log_softmax", [
    lambda a: a.log_softmax(-1),
    lambda a: a.bfloat16().log_softmax(-1).float(),
    lambda a: (a + 1000).log_softmax(-1),
    lambda a: a - a.logsumexp(-1, keepdim=True),
])  # fmt: skip
def test_behind_a_log_softmax_it_is_right(
    log_softmax: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    seen = recorded(log_softmax)
    assert not seen.unjudged
    assert accused(seen) == []


@pytest.mark.parametrize("other", [
    lambda a: a, lambda a: a.softmax(-1), lambda a: a.log_softmax(1),
])  # fmt: skip
def test_of_anything_else_its_gradient_is_accused(
    other: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    seen = recorded(other)
    assert accused(seen) == ["aten._ctc_loss.Tensor"]
    (wrong,) = [f for f in seen.findings if f.parity is False]
    assert "right only for a log-softmax" in wrong.note


class Doubled(torch.autograd.Function):
    """A gradient that is doubled on its way back from the loss."""

    @staticmethod
    def forward(ctx, a):
        return a.clone()

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def test_another_mistake_is_not_told_as_that() -> None:
    seen = recorded(lambda a: Doubled.apply(a.log_softmax(-1)))
    (wrong,) = [f for f in seen.findings if f.parity is False]
    assert seen.places[wrong.node].function == "Doubled"
    assert "log-softmax" not in wrong.note


def test_an_impossible_target_is_told() -> None:
    a = torch.randn(6, 3, 5, requires_grad=True)
    with gp.record() as seen:
        F.ctc_loss(
            a.log_softmax(-1), torch.tensor([[1, 2], [3, 3], [4, 4]]), torch.tensor([6, 2, 1]),
            torch.tensor([2, 2, 2]),
        ).backward()  # fmt: skip
    assert accused(seen) == []
    found = [f for _, f in gp.check(seen).findings() if f.node == "_ctc_loss_1"]
    (first,) = [f for f in found if f.quantity.is_value]
    assert first.note.startswith("no alignment of sequence 1 exists, nor of 1 more: its 2 labels")
    assert "need 3 frames, and it has 2" in first.note


def test_one_sequence_without_a_batch_axis() -> None:
    a = torch.randn(6, 5, requires_grad=True)
    with gp.record() as seen:
        F.ctc_loss(
            a.log_softmax(-1), torch.tensor([1, 2]), torch.tensor(6), torch.tensor(2)
        ).backward()  # fmt: skip
    assert not seen.unjudged
    assert accused(seen) == []


def test_nan_for_a_class_that_cannot_be_is_accused() -> None:
    """PyTorch subtracts infinities where a log-probability is -inf; that gradient is 0."""
    a = torch.randn(6, 2, 5)
    a[..., 4] = -torch.inf
    a.requires_grad_()
    with gp.record() as seen:
        F.ctc_loss(
            a.log_softmax(-1), torch.tensor([[1, 2], [3, 3]]), torch.tensor([6, 5]),
            torch.tensor([2, 2]),
        ).backward()  # fmt: skip
    assert a.grad is not None
    assert a.grad.isnan().any()
    assert "aten._ctc_loss.Tensor" in accused(seen)


def test_labels_that_do_not_fit_have_no_gradient_where_infinity_is_zero() -> None:
    a = torch.randn(3, 2, 5, requires_grad=True)
    with gp.record() as seen:
        F.ctc_loss(
            a.log_softmax(-1), torch.tensor([[1, 1, 2], [3, 3, 3]]), torch.tensor([3, 3]),
            torch.tensor([3, 2]), reduction="sum", zero_infinity=True,
        ).backward()  # fmt: skip
    assert a.grad is not None
    assert [bool(g.any()) for g in a.grad.unbind(1)] == [False, True]
    assert not seen.unjudged
    assert accused(seen) == []
    gradients = [f for f in seen.findings if "_log_softmax_1 -> _ctc_loss" in str(f.quantity)]
    assert [str(f.verdict) for f in gradients] == ["rounding"]
    assert gp.check(seen).exit_code == 0


def test_a_sequence_without_frames_is_not_judged() -> None:
    a = torch.randn(6, 2, 5, requires_grad=True)
    with gp.record() as seen:
        F.ctc_loss(
            a.log_softmax(-1), torch.tensor([[1], [2]]), torch.tensor([6, 0]),
            torch.tensor([1, 0]), reduction="sum",
        ).backward()  # fmt: skip
    assert "without frames" in seen.unjudged[0].why
    assert accused(seen) == []
