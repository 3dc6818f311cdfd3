"""Losses beyond the lecture's per sample, Optax's own where it has one: (divergence, Y, d) -> Div.

Optax has no loss of counts, no weights of classes, and no hinge of several margins: these are
written with JAX's functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .... import core
from ....core.vocabulary import entropies, likelihoods, losses, margins

__all__ = ["LOSSES"]


def _summed(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of every element, (divergence, Y, d), summed over the last axis."""
    return lambda divergence, y, d: loss(divergence, y, d.astype(y.dtype)).sum(-1)


def _poisson(divergence: losses.PoissonNLL, y: Any, d: Any) -> Any:
    if divergence.log_input:
        return jnp.exp(y) - d * y
    return y - d * jnp.log(y + divergence.eps)


def _hinge_embedding(divergence: margins.HingeEmbedding, y: Any, d: Any) -> Any:
    return jnp.where(d > 0, y, jnp.maximum(divergence.margin - y, 0))


def _multi_margin(divergence: margins.MultiMargin, y: Any, d: Any) -> Any:
    own = jax.nn.one_hot(d, y.shape[-1], dtype=y.dtype)
    m = jnp.maximum(divergence.margin - (own * y).sum(-1, keepdims=True) + y, 0)
    return (own * _class_weights(divergence, y)).sum(-1) * ((1 - own) * m * m).mean(-1)


def _class_weights(divergence: Any, y: Any) -> Any:
    return 1 if divergence.weights is None else jnp.asarray(divergence.weights, y.dtype)


def _target(divergence: Any, y: Any, d: Any) -> Any:
    """Rows of zeros for labels that are left out: one_hot has them for labels out of range."""
    if not jnp.issubdtype(d.dtype, jnp.integer):
        return d, None
    t = jax.nn.one_hot(d, y.shape[-1], dtype=y.dtype)
    return t, (d != divergence.ignore_index) if divergence.ignore_index is not None else None


def _nll(divergence: likelihoods.NLL, y: Any, d: Any) -> Any:
    t, kept = _target(divergence, y, d)
    div = -(t * _class_weights(divergence, y) * y).sum(-1)
    return div if kept is None else jnp.where(kept, div, 0)


def _cross_entropy(divergence: likelihoods.WeightedCrossEntropy, y: Any, d: Any) -> Any:
    t, kept = _target(divergence, y, d)
    t = optax.smooth_labels(t, divergence.uniform(y.shape[-1])) if divergence.eps else t
    t = t * _class_weights(divergence, y)
    if divergence.on == "logits":
        div = optax.softmax_cross_entropy(y, t)
    else:
        div = -(t * jnp.log(jnp.where(t > 0, y, 1))).sum(-1)
    return div if kept is None else jnp.where(kept, div, 0)


def _kl_div(divergence: likelihoods.KLDivergence, y: Any, d: Any) -> Any:
    if divergence.log_target:
        return optax.losses.kl_divergence_with_log_targets(y, d)
    return optax.losses.kl_divergence(y, d)


def _binary(divergence: likelihoods.WeightedBinaryCrossEntropy, y: Any, d: Any) -> Any:
    right = divergence.pos_weight * d * jax.nn.log_sigmoid(y)
    return -(right + (1 - d) * jax.nn.log_sigmoid(-y))


def _focal(divergence: likelihoods.SigmoidFocal, y: Any, d: Any) -> Any:
    return optax.losses.sigmoid_focal_loss(y, d, alpha=divergence.alpha, gamma=divergence.gamma)


def _dice(divergence: likelihoods.Dice, y: Any, d: Any) -> Any:
    """Every sample is a picture with one channel."""
    d = d.astype(y.dtype)
    flat = y.reshape(-1, y.shape[-1], 1), d.reshape(-1, y.shape[-1], 1)
    return optax.losses.binary_dice_loss(*flat, smooth=divergence.smooth).reshape(y.shape[:-1])


def _multi_label(divergence: core.Divergence, y: Any, d: Any) -> Any:
    return optax.sigmoid_binary_cross_entropy(y, d.astype(y.dtype)).mean(-1)


def _poly(divergence: entropies.PolyCrossEntropy, y: Any, d: Any) -> Any:
    whole = jnp.issubdtype(d.dtype, jnp.integer)
    d = jax.nn.one_hot(d, y.shape[-1], dtype=y.dtype) if whole else d
    return optax.losses.poly_loss_cross_entropy(y, d, epsilon=divergence.a)


LOSSES: dict[type[core.Divergence], Callable[..., Any]] = {
    losses.L1: _summed(lambda op, y, d: jnp.abs(y - d)),
    losses.SquaredError: _summed(lambda op, y, d: optax.losses.squared_error(y, d)),
    losses.Huber: _summed(lambda op, y, d: optax.huber_loss(y, d, delta=op.delta)),
    losses.SmoothL1: _summed(lambda op, y, d: optax.huber_loss(y, d, delta=op.beta) / op.beta),
    losses.LogCosh: _summed(lambda op, y, d: optax.log_cosh(y, d)),
    losses.PoissonNLL: _summed(_poisson),
    losses.CosineDistance: lambda op, y, d: optax.cosine_distance(y, d),
    margins.HingeLoss: _summed(lambda op, y, d: optax.hinge_loss(y, d)),
    margins.SquaredHinge: _summed(lambda op, y, d: optax.hinge_loss(y, d) ** 2),
    margins.HingeEmbedding: _summed(_hinge_embedding),
    margins.SoftMargin: _summed(lambda op, y, d: jax.nn.softplus(-d * y)),
    margins.MultiLabelSoftMargin: _multi_label,
    margins.MultiMargin: _multi_margin,
    likelihoods.NLL: _nll,
    likelihoods.WeightedCrossEntropy: _cross_entropy,
    likelihoods.KLDivergence: _kl_div,
    likelihoods.WeightedBinaryCrossEntropy: _summed(_binary),
    likelihoods.SigmoidFocal: _summed(_focal),
    likelihoods.Dice: _dice,
    entropies.GeneralizedKL: lambda op, y, d: optax.losses.generalized_kl_divergence(y, d),
    entropies.PolyCrossEntropy: _poly,
}
