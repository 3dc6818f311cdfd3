"""JAX's functions for the ops of `core.vocabulary`, by family."""

from collections.abc import Callable
from typing import Any

from . import (
    activations,
    alignments,
    contractions,
    indexing,
    kinked,
    layers,
    losses,
    metric_losses,
    normalisation,
    pairs,
    pointwise,
    pooling,
    rearranging,
    reductions,
    resampling,
    scans,
    segments,
    sequences,
    special,
    unfolding,
)

__all__ = ["FUNCTIONS", "LOSSES"]

_FAMILIES = (
    *(activations, alignments, contractions, indexing, kinked, layers, metric_losses),
    *(normalisation, pairs, pointwise, pooling, rearranging, reductions, resampling, scans),
    *(segments, sequences, special, unfolding),
)

#: Op -> (op, *inputs, *parameters) -> value.
FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    key: value for family in _FAMILIES for key, value in family.FUNCTIONS.items()
}

#: Divergence -> (divergence, Y, d) -> Div.
LOSSES: dict[type[Any], Callable[..., Any]] = {**losses.LOSSES, **metric_losses.LOSSES}
