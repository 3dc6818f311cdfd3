"""Normalisations."""

from __future__ import annotations

from ....core.vocabulary import normalisation as ops
from .shaped import Shaped

__all__ = ["CASES"]

#: At least six numbers in each group: the gradient of fewer cancels, for a group of n has n - 2
#: degrees of freedom.  Few samples: the gradient of a scale is a sum over all of them.
IMAGE = {"x": (8, 2)}

CASES: dict[str, Shaped] = {
    "group-norm": Shaped(ops.GroupNorm(8, 2), IMAGE, batch=4),
    "group-norm-whole": Shaped(ops.GroupNorm(4, 1, eps=1e-3), {"x": (4, 3)}),
    "group-norm-vector": Shaped(ops.GroupNorm(12, 2), {"x": (12,)}, batch=4),
    "instance-norm": Shaped(ops.InstanceNorm(4), {"x": (4, 6)}, batch=2),
    "l2-normalise": Shaped(ops.L2Normalise(), {"x": (4, 3)}),
    "l2-normalise-axis": Shaped(ops.L2Normalise(1, eps=0.3), {"x": (4, 3)}),
    "rms-norm": Shaped(ops.RMSNorm(6), {"x": (4, 6)}),
    "weight-norm": Shaped(ops.WeightNorm(), {"v": (4, 3), "g": (1, 1)}, zeros=False),
}
