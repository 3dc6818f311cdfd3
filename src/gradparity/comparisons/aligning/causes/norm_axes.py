"""The norm of a weight over other axes, such as one norm for all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.vocabulary.normalisation import WeightNorm
from ..programs.edits import Edit

__all__ = ["other_norm_axes"]

#: The most axes of a weight whose subsets are tried.
MOST_AXES = 5


@dataclass(frozen=True)
class _NormOver(Op):
    """A weight divided by its norm over some axes, and multiplied by its length.

    Attributes
    ----------
    axes : of the norm.
    """

    axes: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        v, g = y
        made: Array = g * v / np.sqrt((v * v).sum(axis=self.axes, keepdims=True))
        return made


def other_norm_axes(call: Call) -> Iterator[Edit]:
    """Yield weight norm with the norm over other axes than all but the first."""
    rank = call.inputs[0].array.ndim if call.inputs else 0
    if not isinstance(call.op, WeightNorm) or rank > MOST_AXES:
        return
    own = tuple(range(1, rank))
    for n in range(rank, 0, -1):
        for axes in combinations(range(rank), n):
            if axes != own:
                said = f"the axes of its norm are {own} {{here}} and {axes} {{there}}"
                yield Edit(said, _NormOver(axes))
