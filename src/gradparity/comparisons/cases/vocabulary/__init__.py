"""A case of every op of `core.vocabulary`, by family."""

from . import (
    activations,
    indexing,
    normalisation,
    pairs,
    pointwise,
    rearranging,
    reductions,
    scans,
    sequences,
)
from .shaped import Shaped

__all__ = ["VOCABULARY"]

#: Name -> an op and its inputs.
VOCABULARY: dict[str, Shaped] = {
    **activations.CASES,
    **normalisation.CASES,
    **reductions.CASES,
    **pairs.CASES,
    **pointwise.CASES,
    **scans.CASES,
    **indexing.CASES,
    **rearranging.CASES,
    **sequences.CASES,
}
