"""Running sums, products and maxima, and sorting."""

from __future__ import annotations

from ....core.vocabulary import scans as ops
from .shaped import Shaped

__all__ = ["CASES"]

X = {"x": (4, 6)}

CASES: dict[str, Shaped] = {
    "cumulative-max": Shaped(ops.CumulativeMax(), X),
    "cumulative-product": Shaped(ops.CumulativeProduct(axis=1), X),
    "cumulative-sum": Shaped(ops.CumulativeSum(), X),
    "cumulative-sum-axis": Shaped(ops.CumulativeSum(axis=1), X),
    "sort": Shaped(ops.Sort(), X),
    "sort-axis": Shaped(ops.Sort(axis=1, descending=True), X),
    "top-k": Shaped(ops.Sort(descending=True, k=2), X),
}
