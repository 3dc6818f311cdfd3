"""Finds of functions of a vector: norms, softmaxes and their losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...adapters.finds import AskedOfVector, Finds
from ...core.arithmetic.precision import Precision
from ..atlas.smooth.formulas.vectors import VECTORS, WEIGHTS
from ..atlas.smooth.regions import Region
from ..atlas.smooth.vector_truth import movable, parameters, rows, vector_truth
from .confirmed import Printed, exactly, run, vector_true_again, wrong_by

__all__ = ["beyond_sums", "in_words", "shown", "vector"]

#: Two results are the same one if they differ by less than this part.
SAME = 1e-3
#: Two truths are the same one if they differ by less than this part.
AGREE = 1e-9


def beyond_sums(region: Region) -> bool:
    """Whether an element is further off than a plain sum of the elements may bring it.

    That is what all elements move it, each by its last place; in formulas with a mean, each by as
    many last places as a sum in pairs has roundings.
    """
    v = vector(region)
    places = int(np.log2(len(v))) if VECTORS[region.function].shifted else 1
    precision = Precision.of(region.dtype)
    moved = movable(region.function, region.quantity, v, precision, places)
    off = abs(region.got - region.true)
    return not all(off <= moved[element] for element in _elements(region, v))


def shown(
    native: Finds, region: Region, numbers: Sequence[str]
) -> tuple[Printed, float, str] | None:
    """The output of a line of Python, the digits lost, and the line; None if no line shows it."""
    v = vector(region)
    for element in _elements(region, v):
        truth = vector_true_again(region.function, region.quantity, v.tolist(), element)
        true = float(truth.nearest[0])
        if not _near(true, region.true, AGREE):
            continue
        for code in native.of_vector(_asked(region, numbers, element, true)):
            out = run(code)
            if out is None or not _near(out.got, region.got, SAME):
                continue
            if lost := wrong_by(out.got, truth, region.dtype):
                return out, lost, code
    return None


def vector(region: Region) -> Any:
    """The vector at which a region is worst."""
    at = parameters(region.function, region.dtype).tolist().index(region.at)
    return rows(region.function, region.dtype)[at]


def in_words(region: Region) -> str:
    """The vector, in words."""
    if VECTORS[region.function].shifted:
        return f"16 numbers, mean {region.at:.4g}, deviation 1"
    return f"16 numbers, spread {region.at:.4g}"


def _elements(region: Region, v: Any) -> Iterator[int]:
    """The elements whose true result is the region's."""
    true = vector_truth(region.function, region.quantity, [v]).nearest[0]
    yield from (i for i, y in enumerate(true) if _near(float(y), region.true, AGREE))


def _asked(region: Region, numbers: Sequence[str], element: int, true: float) -> AskedOfVector:
    ones = len(vector_truth(region.function, "value", [vector(region)]).nearest[0])
    single = ones == 1 and region.quantity == "value"
    return AskedOfVector(
        region.spelling, numbers, WEIGHTS, None if single else element, ones > 1,
        exactly(true), region.dtype, region.quantity, region.modes,
    )  # fmt: skip


def _near(one: float, other: float, part: float) -> bool:
    return bool(np.isclose(one, other, rtol=part, atol=0, equal_nan=True))
