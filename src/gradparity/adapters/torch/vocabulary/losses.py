"""PyTorch's losses beyond the lecture's, per sample: (divergence, Y, d) -> Div, shape (T,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import entropies, likelihoods, losses, margins

__all__ = ["LOSSES"]


def _summed(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss of every element, (divergence, Y, d), summed over the last axis."""
    return lambda divergence, y, d: loss(divergence, y, d.to(y.dtype)).sum(-1)


def _log_cosh(divergence: losses.LogCosh, y: Tensor, d: Tensor) -> Tensor:
    r = y - d
    return torch.logaddexp(r, -r) - torch.log(r.new_tensor(2.0))


def _poisson(divergence: losses.PoissonNLL, y: Tensor, d: Tensor) -> Tensor:
    return F.poisson_nll_loss(y, d, divergence.log_input, eps=divergence.eps, reduction="none")


def _hinge(divergence: core.Divergence, y: Tensor, d: Tensor) -> Tensor:
    """A ranking of y above 0, or below, by 1."""
    return F.margin_ranking_loss(y, torch.zeros_like(y), d, margin=1.0, reduction="none")


def _multi_label(divergence: core.Divergence, y: Tensor, d: Tensor) -> Tensor:
    return F.multilabel_soft_margin_loss(y, d.to(y.dtype), reduction="none")


def _multi_margin(divergence: margins.MultiMargin, y: Tensor, d: Tensor) -> Tensor:
    """PyTorch takes no more axes than samples and classes."""
    flat = y.reshape(-1, y.shape[-1]), d.reshape(-1)
    weights = None if divergence.weights is None else y.new_tensor(divergence.weights)
    div = F.multi_margin_loss(*flat, 2, divergence.margin, weights, reduction="none")
    return div.reshape(d.shape)


def _class_first(y: Tensor) -> Tensor:
    """PyTorch has the classes on axis 1."""
    return y.movedim(-1, 1) if y.ndim > 2 else y


def _classes(divergence: Any, y: Tensor) -> dict[str, Any]:
    """The arguments that all of PyTorch's losses of classes take."""
    weights = divergence.weights
    how: dict[str, Any] = {"reduction": "none"}
    if weights is not None:
        how["weight"] = y.new_tensor(weights)
    if divergence.ignore_index is not None:
        how["ignore_index"] = divergence.ignore_index
    return how


def _nll(divergence: likelihoods.NLL, y: Tensor, d: Tensor) -> Tensor:
    return F.nll_loss(_class_first(y), d, **_classes(divergence, y))


def _cross_entropy(divergence: likelihoods.WeightedCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    a = divergence.uniform(y.shape[-1])
    d = _class_first(d) if d.is_floating_point() else d
    how = _classes(divergence, y)
    if divergence.on == "logits":
        return F.cross_entropy(_class_first(y), d, label_smoothing=a, **how)
    t = d if d.is_floating_point() else F.one_hot(d.clamp(min=0), y.shape[-1]).to(y.dtype)
    t = (t * (1 - a) + a / y.shape[-1]) * how.get("weight", 1.0)
    if divergence.ignore_index is not None and not d.is_floating_point():
        t = t * (d != divergence.ignore_index).unsqueeze(-1)
    return -(t * torch.where(t > 0, y, 1).log()).sum(-1)


def _kl_div(divergence: likelihoods.KLDivergence, y: Tensor, d: Tensor) -> Tensor:
    return F.kl_div(y, d, reduction="none", log_target=divergence.log_target)


def _binary(divergence: likelihoods.WeightedBinaryCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    weight = y.new_tensor(divergence.pos_weight)
    return F.binary_cross_entropy_with_logits(y, d, reduction="none", pos_weight=weight)


def _focal(divergence: likelihoods.SigmoidFocal, y: Tensor, d: Tensor) -> Tensor:
    """As torchvision has it."""
    p = torch.sigmoid(y)
    ce = F.binary_cross_entropy_with_logits(y, d, reduction="none")
    q = p * d + (1 - p) * (1 - d)
    loss = ce * (1 - q) ** divergence.gamma
    a = divergence.alpha
    return loss if a is None else (a * d + (1 - a) * (1 - d)) * loss


def _dice(divergence: likelihoods.Dice, y: Tensor, d: Tensor) -> Tensor:
    p, d, s = torch.sigmoid(y), d.to(y.dtype), divergence.smooth
    return 1 - ((p * d).sum(-1) + s) / (0.5 * (p.sum(-1) + d.sum(-1)) + s)


def _generalized_kl(divergence: entropies.GeneralizedKL, y: Tensor, d: Tensor) -> Tensor:
    return F.kl_div(y, d, reduction="none") + (y.exp() - d)


def _poly(divergence: entropies.PolyCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    """PyTorch has none."""
    left = 1 - y.softmax(-1)
    own = (d * left).sum(-1) if d.is_floating_point() else left.gather(-1, d[..., None])[..., 0]
    d = _class_first(d) if d.is_floating_point() else d
    return F.cross_entropy(_class_first(y), d, reduction="none") + divergence.a * own


LOSSES: dict[type[core.Divergence], Callable[..., Tensor]] = {
    losses.L1: _summed(lambda op, y, d: F.l1_loss(y, d, reduction="none")),
    losses.SquaredError: _summed(lambda op, y, d: F.mse_loss(y, d, reduction="none")),
    losses.Huber: _summed(lambda op, y, d: F.huber_loss(y, d, reduction="none", delta=op.delta)),
    losses.SmoothL1: _summed(
        lambda op, y, d: F.smooth_l1_loss(y, d, reduction="none", beta=op.beta)
    ),
    losses.LogCosh: _summed(_log_cosh),
    losses.PoissonNLL: _summed(_poisson),
    losses.CosineDistance: lambda op, y, d: 1 - F.cosine_similarity(y, d, dim=-1),
    margins.HingeLoss: _summed(_hinge),
    margins.SquaredHinge: _summed(lambda op, y, d: _hinge(op, y, d) ** 2),
    margins.HingeEmbedding: _summed(
        lambda op, y, d: F.hinge_embedding_loss(y, d, margin=op.margin, reduction="none")
    ),
    # It overflows where e^(-d y) does, in float32 for -d y > 88.7, though the loss is finite.
    margins.SoftMargin: _summed(lambda op, y, d: F.soft_margin_loss(y, d, reduction="none")),
    margins.MultiLabelSoftMargin: _multi_label,
    margins.MultiMargin: _multi_margin,
    likelihoods.NLL: _nll,
    likelihoods.WeightedCrossEntropy: _cross_entropy,
    likelihoods.KLDivergence: _summed(_kl_div),
    likelihoods.WeightedBinaryCrossEntropy: _summed(_binary),
    likelihoods.SigmoidFocal: _summed(_focal),
    likelihoods.Dice: _dice,
    entropies.GeneralizedKL: _summed(_generalized_kl),
    entropies.PolyCrossEntropy: _poly,
}
