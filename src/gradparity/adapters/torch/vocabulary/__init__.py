"""PyTorch's functions for the ops of `core.vocabulary`, by family."""

from collections.abc import Callable
from typing import Any

from . import (
    activations,
    contractions,
    indexing,
    kinked,
    losses,
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

#: Op -> (op, *inputs, *parameters) -> value.
FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    **activations.FUNCTIONS,
    **contractions.FUNCTIONS,
    **indexing.FUNCTIONS,
    **kinked.FUNCTIONS,
    **normalisation.FUNCTIONS,
    **pairs.FUNCTIONS,
    **pointwise.FUNCTIONS,
    **pooling.FUNCTIONS,
    **rearranging.FUNCTIONS,
    **reductions.FUNCTIONS,
    **resampling.FUNCTIONS,
    **scans.FUNCTIONS,
    **segments.FUNCTIONS,
    **sequences.FUNCTIONS,
    **special.FUNCTIONS,
    **unfolding.FUNCTIONS,
}

#: Divergence -> (divergence, Y, d) -> Div.
LOSSES: dict[type[Any], Callable[..., Any]] = losses.LOSSES
