"""Checks of what a network is given, and its nodes in topological order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from numbers import Integral
from typing import Any

from ..arithmetic.received import received
from ..formulas.arguments import is_finite, is_identifier
from ..formulas.op import Shape
from .nodes import (
    INPUT,
    RESERVED,
    Node,
    Step,
    check_name,
    values_of_node,
)

__all__ = [
    "check_collections",
    "check_factors",
    "check_several",
    "check_shared",
    "check_turned",
    "in_order",
]


def check_collections(inputs: Any, fixed: Any, parameters: Any) -> None:
    """Raise TypeError or ValueError for names of inputs or parameters that are not valid."""
    for what, given in (("inputs", inputs), ("fixed", fixed)):
        if isinstance(given, str):
            raise TypeError(
                f"{what} is {received(given)}; give a tuple of names, such as ({received(given)},)"
            )
        if not isinstance(given, Collection):
            raise TypeError(f"{what} is {received(given)}; give a tuple of names, such as ('x',)")
        unfit = next((name for name in given if not isinstance(name, str)), None)
        if unfit is not None:
            raise TypeError(f"{what} has {received(unfit)}; give names, such as 'x'")
    if len(set(inputs)) < len(tuple(inputs)):
        raise ValueError(f"inputs is {received(inputs)}; give each name once")
    if not isinstance(parameters, Mapping | None):
        raise TypeError(
            f'parameters is {received(parameters)}; give name -> shape, such as {{"E": (9, 4)}}'
        )
    for name, shape in (parameters or {}).items():
        sizes = shape if isinstance(shape, tuple | list) else (None,)
        if not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
            raise ValueError(
                f"parameters: {name!r} has shape {received(shape)}; give positive whole numbers"
            )
    for name in (*inputs, *(parameters or {})):
        if not is_identifier(name):
            raise ValueError(f"input or parameter {name!r}: give a Python identifier")
        if name != INPUT and name in RESERVED:
            raise ValueError(f"input or parameter {name!r}: the name is reserved; choose another")
    for name in parameters or {}:
        if name in inputs:
            raise ValueError(
                f"{name!r} is the name of an input and of a shared parameter; choose another name "
                "for one of them"
            )
    unknown = {*fixed} - {*inputs}
    if unknown:
        raise ValueError(f"fixed names {sorted(unknown)}, which are not among {tuple(inputs)}")


def check_factors(ends: Any, weights: Any) -> None:
    """Raise TypeError or ValueError unless a network ends at scalars with finite factors."""
    give = "give name -> factor, such as {'loss': 1.0}"
    if not isinstance(ends, Mapping):
        raise TypeError(f"ends is {received(ends)}; {give}")
    if not ends:
        raise ValueError(f"ends is {received(ends)}, so nothing would be differentiated; {give}")
    for name, factor in ends.items():
        if not is_finite(factor):
            raise ValueError(
                f"ends: the factor of {name!r} is {received(factor)}; give a finite number "
                "!= 0, such as {'loss': 1.0}"
            )
    if weights is not None:
        raise TypeError(
            f"weights is {received(weights)} together with ends=; weights belong to a "
            "divergence, so give divergence= instead of ends=, or leave out weights="
        )


def check_several(output: str, nodes: Sequence[Node]) -> None:
    """Refuse a node with named outputs as the output of the network, which is one of them."""
    for node in nodes:
        outputs = node.op.outputs  # type: ignore[union-attr]
        if node.name == output not in values_of_node(node):
            choices = " or ".join(f"output='{output}.{name}'" for name in outputs)
            raise ValueError(
                f"node {output!r} has the outputs {' and '.join(outputs)}; give {choices}"
            )


def check_turned(nodes: Sequence[Node], parameters: Mapping[str, Shape]) -> None:
    """Raise ValueError for a name with .T that is not that of a shared matrix."""
    for node in nodes:
        for letter, name in node.given:
            if name.endswith(".T") and len(parameters.get(name[:-2], ())) != 2:
                matrices = [name for name, shape in parameters.items() if len(shape) == 2]
                raise ValueError(
                    f"node {node.name!r}: {letter}={name!r}; .T takes a shared parameter of two "
                    f"axes, and there are {matrices}"
                )


def check_shared(step: Step, shapes: Sequence[Shape]) -> None:
    """Check that each parameter given to a node has the shape that its op requires."""
    own = step.op.parameter_shapes()
    for (letter, shape), given in zip(own.items(), shapes[len(shapes) - len(own) :], strict=True):
        if tuple(given) != tuple(shape):
            raise ValueError(
                f"the parameter {letter!r} of {step.op!r} has shape {tuple(shape)}, received "
                f"{given}"
            )


def in_order(nodes: list[Node], given: set[str]) -> tuple[Node, ...]:
    """The nodes in topological order; every name checked."""
    maker: dict[str, Node] = {}
    for node in nodes:
        check_name(node.name)
        for name in values_of_node(node):
            if name in maker or name in given:
                raise ValueError(f"two nodes are named {name!r}; names are unique")
            maker[name] = node
    for node in nodes:
        for name in node.takes:
            if name not in given and name not in maker:
                shown = received(name)
                others = [n for n, made in maker.items() if made is not node]
                raise ValueError(
                    f"node {node.name!r} takes {shown}, which is not a node; valid names: "
                    f"{', '.join(map(repr, [*sorted(given), *others]))}; an input is declared by "
                    f"inputs=({shown},), a shared parameter by parameters={{{shown}: shape}}"
                )
        expected, n = node.op.n_inputs, len(node.inputs)  # type: ignore[union-attr]
        if n != expected and not (expected is None and n >= 2):
            takes = "two or more values" if expected is None else f"{expected} value(s)"
            raise ValueError(
                f"node {node.name!r}: {type(node.op).__name__} takes {takes}, received {n}"
            )
    graph = {n.name: [maker[i].name for i in n.takes if i not in given] for n in nodes}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise ValueError(f"the network has a cycle: {cycle}; unroll it into nodes") from None
    position = {node.name: i for i, node in enumerate(nodes)}
    if all(position[before] < position[name] for name, takes in graph.items() for before in takes):
        return tuple(nodes)
    by_name = {node.name: node for node in nodes}
    return tuple(by_name[name] for name in order)
