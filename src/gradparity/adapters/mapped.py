"""A framework's op as an op of the core: what the tables of both frameworks are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arithmetic.arrays import NDArray
from ..core.formulas.activations import Identity
from ..core.formulas.movements import Sum
from ..core.formulas.op import Op
from ..core.network.composed import Composed
from ..core.network.nodes import Node
from ..core.programs.duplicates import PutOne, winners
from ..core.programs.extremes import ExtremeSize
from ..core.programs.indexing import PutAt
from ..core.vocabulary.pointwise import Square, Step
from ..core.vocabulary.reductions import VectorNorm

__all__ = ["Mapped", "UnmappedError", "chain", "norm_of", "put"]


class UnmappedError(Exception):
    """These arguments of an op have no formula; the message says which."""


@dataclass(frozen=True)
class Mapped:
    """A framework's op as an op of the core.

    Attributes
    ----------
    op : the op of the core.
    inputs : for each of its inputs an argument of the framework's op, or numbers.
    outputs : for each of its outputs and states which result of the framework's op it is, or which
        argument that it wrote into.
    """

    op: Op
    inputs: tuple[Any, ...] = (0,)
    outputs: tuple[Any, ...] = (0,)


def chain(title: str, *ops: Op) -> Op:
    """One op after the other, each on the value before."""
    if not ops:
        return Identity()
    if len(ops) == 1:
        return ops[0]
    nodes = [Node(f"a{i}", op, f"a{i - 1}" if i else "x") for i, op in enumerate(ops)]
    return Composed(title, *nodes, inputs=("x",))


def norm_of(order: float) -> Op:
    """The norm of any order over the last axis; that of order 0 counts the elements that are not 0.

    >>> norm_of(0.0).forward(np.array([3.0, 0.0, -1.0])), norm_of(math.inf)
    (array(2.), ExtremeSize(least=False))
    """
    if order == 0.0:
        return chain("count", Step("sign"), Square(), Sum(-1))
    if math.isinf(order):
        return ExtremeSize(least=order < 0)
    return VectorNorm(order=order)


def put(
    taken: tuple[bool, ...], ids: Sequence[NDArray], whole: tuple[Any, NDArray],
    part: tuple[Any, NDArray],
) -> Mapped:  # fmt: skip
    """Numbers that are written into an array, each place of which keeps one of them.

    Parameters
    ----------
    taken, ids : as in `PutAt`.
    whole : the argument that is written into, and what it holds afterwards.
    part : the argument that is written, and its numbers.
    """
    after = whole[1]
    places = np.arange(math.prod(after.shape)).reshape(after.shape)[PutAt(taken).index.at((*ids,))]
    if np.bincount(places.ravel()).max(initial=0) <= 1:
        return Mapped(PutAt(taken), (*ids, whole[0], part[0]))
    return Mapped(PutOne(), (places, winners(places, part[1], after), whole[0], part[0]))
