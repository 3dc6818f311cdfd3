"""A case of every op of `core.vocabulary`, by family."""

from . import (
    activations,
    alignments,
    contractions,
    indexing,
    kinked,
    layers,
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
from .shaped import Shaped

__all__ = ["VOCABULARY"]

_FAMILIES = (
    *(activations, alignments, contractions, indexing, kinked, layers, metric_losses),
    *(normalisation, pairs, pointwise, pooling, rearranging, reductions, resampling, scans),
    *(segments, sequences, special, unfolding),
)

#: Name -> an op and its inputs.
VOCABULARY: dict[str, Shaped] = {
    key: value for family in _FAMILIES for key, value in family.CASES.items()
}
