"""Gradients that are zero but for rounding, and gradients that differ by rounding alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.layers import Add
from ....core.formulas.op import Movement, Op
from .side import Side

__all__ = ["is_noise", "is_rounding"]

#: How many nodes after a parameter are looked at for the terms of its gradient.
NEARBY = 4
#: What is rounded of the sum of the sizes of terms, in relation to how near two values are.
SUMMED = 0.02


def is_noise(side: Side, name: str) -> bool:
    """Whether a gradient is zero but for rounding: its terms cancel, or there are none."""
    terms = (np.abs(dz).max(initial=0.0) * by for dz, by in _terms(side, name, (Movement, Add)))
    largest = max(terms, default=0.0)
    return bool(np.abs(side.program.got[name]).max(initial=0.0) <= side.program.near * largest)


def is_rounding(side: Side, name: str, apart: NDArray) -> bool:
    """Whether a gradient may be so far from that in float64 by the rounding of its terms alone.

    They are summed up over the batch, and cancel in what comes before, such as a norm.
    """
    terms = (np.abs(dz).sum() * by for dz, by in _terms(side, name, (Op,)))
    size = max(terms, default=0.0)
    return bool(np.abs(apart).max(initial=0.0) <= SUMMED * side.program.near * size)


def _terms(side: Side, name: str, passed: tuple[type[Op], ...]) -> Iterator[tuple[NDArray, float]]:
    """Yield the gradients that arrive near a leaf, with the largest number that each is times.

    At its uses, and behind ops of the types that are passed.
    """
    names = [name]
    for _ in range(NEARBY):
        calls = [side.nodes[node] for n in names for node in side.program.users.get(n, ())]
        for call in calls:
            others = [
                np.abs(o.array).max(initial=0.0)
                for o in call.inputs
                if o.source not in names and o.array.dtype.kind == "f"
                if np.isfinite(o.array).all()
            ]
            yield from ((dz, max([1.0, *others])) for dz in call.dz if dz is not None)
        names = [n for call in calls if isinstance(call.op, passed) for n in call.names]
