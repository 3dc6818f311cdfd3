"""Every op and divergence that a network can be written with, by family.

>>> import gradparity as gp
>>> gp.ops.Mish(), gp.ops.Affine(4, 3)
(Mish(), Affine(n_in=4, n_out=3, bias=True))
"""

from __future__ import annotations

from .core.formulas import activations as _activations
from .core.formulas import (
    attention,
    cross_entropies,
    divergences,
    embedding,
    layers,
    maxima,
    movements,
    norms,
    piecewise,
    recurrent,
    windows,
)
from .core.formulas.activations import *  # noqa: F403
from .core.formulas.attention import *  # noqa: F403
from .core.formulas.cross_entropies import *  # noqa: F403
from .core.formulas.divergences import *  # noqa: F403
from .core.formulas.embedding import *  # noqa: F403
from .core.formulas.layers import *  # noqa: F403
from .core.formulas.maxima import *  # noqa: F403
from .core.formulas.movements import *  # noqa: F403
from .core.formulas.norms import *  # noqa: F403
from .core.formulas.piecewise import *  # noqa: F403
from .core.formulas.recurrent import *  # noqa: F403
from .core.formulas.windows import *  # noqa: F403
from .core.vocabulary import (
    activations,
    alignments,
    contractions,
    entropies,
    indexing,
    kinked,
    likelihoods,
    losses,
    margins,
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
from .core.vocabulary import layers as _layers
from .core.vocabulary.activations import *  # noqa: F403
from .core.vocabulary.alignments import *  # noqa: F403
from .core.vocabulary.contractions import *  # noqa: F403
from .core.vocabulary.entropies import *  # noqa: F403
from .core.vocabulary.indexing import *  # noqa: F403
from .core.vocabulary.kinked import *  # noqa: F403
from .core.vocabulary.layers import *  # noqa: F403
from .core.vocabulary.likelihoods import *  # noqa: F403
from .core.vocabulary.losses import *  # noqa: F403
from .core.vocabulary.margins import *  # noqa: F403
from .core.vocabulary.metric_losses import *  # noqa: F403
from .core.vocabulary.normalisation import *  # noqa: F403
from .core.vocabulary.pairs import *  # noqa: F403
from .core.vocabulary.pointwise import *  # noqa: F403
from .core.vocabulary.pooling import *  # noqa: F403
from .core.vocabulary.rearranging import *  # noqa: F403
from .core.vocabulary.reductions import *  # noqa: F403
from .core.vocabulary.resampling import *  # noqa: F403
from .core.vocabulary.scans import *  # noqa: F403
from .core.vocabulary.segments import *  # noqa: F403
from .core.vocabulary.sequences import *  # noqa: F403
from .core.vocabulary.special import *  # noqa: F403
from .core.vocabulary.unfolding import *  # noqa: F403

_FAMILIES = (
    *(
        _activations,
        piecewise,
        attention,
        divergences,
        cross_entropies,
        embedding,
        layers,
        maxima,
        movements,
        norms,
    ),
    *(recurrent, windows),
    *(activations, alignments, contractions, entropies, indexing, kinked, _layers, likelihoods),
    *(losses, margins),
    *(
        metric_losses,
        normalisation,
        pairs,
        pointwise,
        pooling,
        rearranging,
        reductions,
        resampling,
        scans,
    ),
    *(segments, sequences, special, unfolding),
)

#: Names of the families that no network can be written with.
_NO_OPS = ("Normalisation", "Rearrangement", "Recurrent", "first_of")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [name for family in _FAMILIES for name in family.__all__ if name not in _NO_OPS]
