"""Tests over every combination of several axes, of which a sample runs by default."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any

import pytest

__all__ = ["crossed"]


def crossed(names: str, *axes: Sequence[Any], every: int = 1) -> pytest.MarkDecorator:
    """Parametrize over all combinations; outside a Latin hypercube sample they are marked `slow`.

    The sample has as many combinations as the longest axis has values, and every value of every
    axis occurs in it.  With ``every``, only one in so many of the sample is not `slow`.

    >>> mark = crossed("a, b", "xyz", [1, 2])
    >>> len(mark.args[1]), [given.values for given in mark.args[1] if not given.marks]
    (6, [('x', 2), ('y', 1), ('z', 1)])
    """
    n = max(map(len, axes))
    columns = [[i % len(axis) for i in range(n)] for axis in axes]
    for seed, column in enumerate(columns):
        Random(seed).shuffle(column)
    sample = set(list(zip(*columns, strict=True))[::every])
    given = [
        pytest.param(
            *(axis[i] for axis, i in zip(axes, at, strict=True)),
            marks=() if at in sample else pytest.mark.slow,
        )
        for at in product(*(range(len(axis)) for axis in axes))
    ]
    return pytest.mark.parametrize(names, given)
