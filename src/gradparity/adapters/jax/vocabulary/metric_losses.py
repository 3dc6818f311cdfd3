"""Losses of distances, rankings, and a mean with a variance, of JAX's functions: it has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .... import core
from ....core.vocabulary import metric_losses as ops

__all__ = ["FUNCTIONS", "LOSSES"]


def _gaussian(op: ops.GaussianNLL, mean: Any, target: Any, variance: Any) -> Any:
    v = jnp.maximum(variance, op.eps)
    if op.straight_through:
        v = jax.lax.stop_gradient(v) + (variance - jax.lax.stop_gradient(variance))
    z = 0.5 * (jnp.log(v) + (mean - target) ** 2 / v)
    return z + 0.5 * math.log(2 * math.pi) if op.full else z


def _ranking(divergence: ops.MarginRanking, y: Any, d: Any) -> Any:
    return jnp.maximum(divergence.margin - d * y, 0).sum(-1)


def _contrastive(divergence: ops.Contrastive, y: Any, d: Any) -> Any:
    apart = jnp.maximum(divergence.margin - y, 0)
    return (d * y**2 + (1 - d) * apart**2).sum(-1)


#: Op -> (op, *inputs) -> value.
FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {ops.GaussianNLL: _gaussian}

#: Divergence -> (divergence, Y, d) -> Div.
LOSSES: dict[type[core.Divergence], Callable[..., Any]] = {
    ops.Contrastive: _contrastive,
    ops.MarginRanking: _ranking,
}
