"""A framework's op as an op of the core: what the tables of both frameworks are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.formulas.activations import Identity
from ..core.formulas.op import Op
from ..core.network.composed import Composed
from ..core.network.nodes import Node

__all__ = ["Mapped", "UnmappedError", "chain"]


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
