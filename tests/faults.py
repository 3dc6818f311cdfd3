"""Planting faults: an op of the same kind whose backward pass is wrong in a stated way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gradparity.core import Case, Network, Node, Op


def faulty(op: Op, **methods: Callable[..., Any]) -> Op:
    """The op with some of its methods replaced; each is given the right method first."""

    def wrong(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(type(op), name)
        return lambda self, *args: method(lambda *a: right(self, *a), *args)

    kind = type(op)
    body = {name: wrong(name, method) for name, method in methods.items()}
    twin = object.__new__(type(f"Faulty{kind.__name__}", (kind,), body))
    for field in dataclasses.fields(op):  # type: ignore[arg-type]
        object.__setattr__(twin, field.name, getattr(op, field.name))
    return twin


def with_op(case: Case, name: str, op: Op) -> Case:
    """The case with another op at one node."""
    network = case.network
    nodes = [Node(n.name, op if n.name == name else n.op, *n.inputs) for n in network.nodes]
    changed = Network(
        *nodes,
        divergence=network.divergence,
        output=network.output,
        reduction=network.reduction,
    )
    return Case(changed, case.params, case.x, case.d, case.name)
