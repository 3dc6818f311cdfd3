"""Losses beyond the lecture's: name -> (divergence, output ops, width), as in `suite.LOSSES`."""

from __future__ import annotations

from .... import core
from ....core.vocabulary import entropies, likelihoods, losses, margins, metric_losses

__all__ = ["LOSSES"]

LOSSES: dict[str, tuple[core.Divergence, tuple[core.Op, ...], int]] = {
    "l1": (losses.L1(), (), 5),
    "squared-error": (losses.SquaredError(), (), 5),
    "huber": (losses.Huber(0.75), (), 5),
    "smooth-l1": (losses.SmoothL1(0.6), (), 5),
    "log-cosh": (losses.LogCosh(), (), 5),
    "poisson": (losses.PoissonNLL(), (), 4),
    "poisson-rates": (losses.PoissonNLL(log_input=False), (core.Softplus(),), 4),
    "cosine-distance": (losses.CosineDistance(), (), 5),
    "hinge": (margins.HingeLoss(), (), 4),
    "squared-hinge": (margins.SquaredHinge(), (), 4),
    "hinge-embedding": (margins.HingeEmbedding(0.5), (), 4),
    "soft-margin": (margins.SoftMargin(), (), 4),
    "multi-label-soft-margin": (margins.MultiLabelSoftMargin(), (), 4),
    "multi-margin": (margins.MultiMargin(), (), 5),
    "multi-margin-weighted": (margins.MultiMargin(0.8, (0.3, 1.0, 2.0, 0.7)), (), 4),
    "nll": (likelihoods.NLL(), (core.LogSoftmax(),), 5),
    "nll-weighted": (
        likelihoods.NLL((0.3, 1.0, 2.0, 0.7), ignore_index=-100), (core.LogSoftmax(),), 4,
    ),
    "ce-weighted": (likelihoods.WeightedCrossEntropy(weights=(0.3, 1.0, 2.0, 0.7)), (), 4),
    "ce-weighted-smoothed": (
        likelihoods.WeightedCrossEntropy(0.02, weights=(0.3, 1.0, 2.0, 0.7), ignore_index=-100),
        (), 4,
    ),
    "kl-div": (likelihoods.KLDivergence(), (core.LogSoftmax(),), 5),
    "kl-div-log-target": (likelihoods.KLDivergence(log_target=True), (core.LogSoftmax(),), 5),
    "bce-pos-weight": (likelihoods.WeightedBinaryCrossEntropy(3.3), (), 3),
    "focal": (likelihoods.SigmoidFocal(), (), 4),
    "focal-alpha": (likelihoods.SigmoidFocal(1.5, alpha=0.25), (), 4),
    "dice": (likelihoods.Dice(), (), 5),
    "contrastive": (metric_losses.Contrastive(1.5), (core.Softplus(),), 4),
    "generalized-kl": (entropies.GeneralizedKL(), (), 5),
    "poly": (entropies.PolyCrossEntropy(1.5), (), 5),
    "margin-ranking": (metric_losses.MarginRanking(0.5), (), 4),
}  # fmt: skip
