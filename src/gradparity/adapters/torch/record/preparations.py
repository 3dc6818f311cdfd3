"""Ops on what has no gradient, such as on data: kept for `align`, and not judged."""

from __future__ import annotations

from dataclasses import replace

from ....core.network.calls import Call, NoFormula
from .calls import call_of
from .observed import Observed

__all__ = ["preparation_of"]


def preparation_of(observed: Observed) -> Call | None:
    """The call that an op without a gradient was; None without a formula or an array of floats."""
    tensors = [t for t in observed.outs if t is not None]
    if not any(t.is_floating_point() and t.numel() > 1 for t in tensors):
        return None
    observed.numbers = [None] * len(observed.outs)
    found = call_of(observed, (), (), ())
    if not isinstance(found, Call) or isinstance(found.op, NoFormula):
        return None
    node, n = observed.place.node, len(found.z)
    names = (node,) if n == 1 else tuple(f"{node}.{i}" for i in range(n))
    return replace(found.copied(), names=names, again=None, evaluate=None)
