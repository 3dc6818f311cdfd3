"""A mean with a variance, and losses of two values."""

from __future__ import annotations

import numpy as np

from ....core import L2, BinaryCrossEntropy, CrossEntropy, Divergence
from ....core.arithmetic.arrays import NDArray
from ....core.vocabulary import likelihoods
from ....core.vocabulary import metric_losses as ops
from .shaped import POSITIVE, Shaped

__all__ = ["CASES"]

#: Means, targets, and a variance for each row.
VALUES = {"a": (4, 3), "t": (4, 3), "v": (4, 1)}


def WITHIN(a: NDArray) -> NDArray:
    """Numbers between 0.1 and 0.9: probabilities, and logits as good as any."""
    return 0.5 + 0.4 * np.tanh(a)


def _of_two(loss: Divergence) -> Shaped:
    return Shaped(ops.LossOfTwo(loss), {"y": (4, 3), "t": (4, 3)}, within=WITHIN)


CASES: dict[str, Shaped] = {
    # The eps is met exactly, and lies above and below other variances.
    "gaussian-nll": Shaped(ops.GaussianNLL(1.25, full=True), VALUES, within=POSITIVE),
    "gaussian-nll-straight": Shaped(
        ops.GaussianNLL(1.25, straight_through=True), VALUES, within=POSITIVE
    ),
    "two-bce": _of_two(BinaryCrossEntropy()),
    "two-cross-entropy": _of_two(CrossEntropy(eps=0.02)),
    "two-kl-div": _of_two(likelihoods.KLDivergence()),
    "two-l2": _of_two(L2()),
}
