"""Planting faults: an op of the same kind whose backward pass is wrong in a stated way."""

from gradparity.comparisons.explain.faults import faulty, with_op

__all__ = ["faulty", "with_op"]
