"""Sums, means and maxima over segments, some of them empty."""

from __future__ import annotations

from ....core.vocabulary import segments as ops
from .shaped import Shaped

__all__ = ["CASES"]

ROWS, PARTS = {"ids": (), "y": (3, 2)}, {"ids": (6,), "y": (6, 3)}

CASES: dict[str, Shaped] = {
    "segment-max": Shaped(ops.SegmentMax(4, axis=1, fill=0.5), PARTS),
    "segment-max-rows": Shaped(ops.SegmentMax(6, fill=-1.0), ROWS, batch=6),
    "segment-mean": Shaped(ops.SegmentMean(4, axis=1), PARTS),
    "segment-mean-rows": Shaped(ops.SegmentMean(6), ROWS, batch=6),
    "segment-sum": Shaped(ops.SegmentSum(4, axis=1), PARTS),
    "segment-sum-rows": Shaped(ops.SegmentSum(6), ROWS, batch=6),
}
