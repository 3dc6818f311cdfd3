"""A mean with a variance: an op of three values."""

from __future__ import annotations

from ....core.vocabulary import metric_losses as ops
from .shaped import POSITIVE, Shaped

__all__ = ["CASES"]

#: Means, targets, and a variance for each row.
VALUES = {"a": (4, 3), "t": (4, 3), "v": (4, 1)}

CASES: dict[str, Shaped] = {
    # The eps is met exactly, and lies above and below other variances.
    "gaussian-nll": Shaped(ops.GaussianNLL(1.25, full=True), VALUES, within=POSITIVE),
    "gaussian-nll-straight": Shaped(
        ops.GaussianNLL(1.25, straight_through=True), VALUES, within=POSITIVE
    ),
}
