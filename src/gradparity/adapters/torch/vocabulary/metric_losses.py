"""PyTorch's losses of distances, rankings, and a mean with a variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import metric_losses as ops

__all__ = ["FUNCTIONS", "LOSSES"]


def _gaussian(op: ops.GaussianNLL, mean: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """PyTorch clamps the variance unseen by autograd; one that is seen comes before it."""
    if not op.straight_through:
        variance = variance.clamp_min(op.eps)
    a, t, v = torch.broadcast_tensors(mean, target, variance)
    return F.gaussian_nll_loss(a, t, v, full=op.full, eps=op.eps, reduction="none")


def _ranking(divergence: ops.MarginRanking, y: Tensor, d: Tensor) -> Tensor:
    """The difference y is a ranking of y above 0."""
    zero, margin = torch.zeros_like(y), divergence.margin
    return F.margin_ranking_loss(y, zero, d.to(y.dtype), margin, reduction="none").sum(-1)


def _contrastive(divergence: ops.Contrastive, y: Tensor, d: Tensor) -> Tensor:
    """PyTorch has none."""
    apart = (divergence.margin - y).clamp(min=0)
    return (d * y**2 + (1 - d) * apart**2).sum(-1)


#: Op -> (op, *inputs) -> value.
FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {ops.GaussianNLL: _gaussian}

#: Divergence -> (divergence, Y, d) -> Div.
LOSSES: dict[type[core.Divergence], Callable[..., Tensor]] = {
    ops.Contrastive: _contrastive,
    ops.MarginRanking: _ranking,
}
