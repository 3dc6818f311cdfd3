"""Class weights together with label smoothing and ignored labels, as a case of the core.

The loss is linear in the log-softmax: every sample has a weight for each class, which is exact here
because all numbers are sums of few powers of two.
"""

from __future__ import annotations

import numpy as np

from ...core import Case, LinearLoss, LogSoftmax, layered
from ...core.arithmetic.arrays import NDArray

__all__ = ["IGNORED", "SMOOTHING", "WEIGHTS", "weighted_cases"]

IGNORED = -100
SMOOTHING = 0.25
WEIGHTS = np.array([1.0, 2.0, 0.5, 0.5])
#: Structure -> labels, of weights whose sum is a power of two.
LABELS = {
    "class weights with smoothing": np.array([0, 2, 3, 1]),
    "class weights, smoothing and an ignored label": np.array([0, 2, 3, IGNORED]),
}


def weighted_cases() -> dict[str, tuple[Case, NDArray]]:
    """Structure -> the case and its labels.

    >>> case, labels = weighted_cases()["class weights with smoothing"]
    >>> (-4 * case.d[0]).tolist()
    [0.8125, 0.125, 0.03125, 0.03125]
    """
    x = np.random.default_rng(5).standard_normal((4, 4)).astype(np.float32)
    network = layered([LogSoftmax()], LinearLoss(), reduction="sum")
    found = {}
    for structure, labels in LABELS.items():
        kept = labels != IGNORED
        t = np.tile(SMOOTHING / len(WEIGHTS) * WEIGHTS, (len(labels), 1))
        t[kept, labels[kept]] += (1 - SMOOTHING) * WEIGHTS[labels[kept]]
        t = np.where(kept[:, np.newaxis], t / WEIGHTS[labels[kept]].sum(), 0.0)
        found[structure] = Case(network, {}, x, -t.astype(np.float32), structure), labels
    return found
