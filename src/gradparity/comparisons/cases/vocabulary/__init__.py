"""A case of every op of `core.vocabulary`, by family."""

from . import (
    activations,
    contractions,
    indexing,
    kinked,
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

#: Name -> an op and its inputs.
VOCABULARY: dict[str, Shaped] = {
    **activations.CASES,
    **contractions.CASES,
    **indexing.CASES,
    **kinked.CASES,
    **normalisation.CASES,
    **pairs.CASES,
    **pointwise.CASES,
    **pooling.CASES,
    **rearranging.CASES,
    **reductions.CASES,
    **resampling.CASES,
    **scans.CASES,
    **segments.CASES,
    **sequences.CASES,
    **special.CASES,
    **unfolding.CASES,
}
