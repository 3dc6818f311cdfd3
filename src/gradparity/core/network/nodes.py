"""Nodes as they are written, and as steps with everything looked up once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..arithmetic.received import received
from ..formulas.arguments import is_identifier
from ..formulas.op import Compound, Op
from .declared import check_declared

__all__ = [
    "DIV",
    "ERR",
    "INPUT",
    "RESERVED",
    "TARGET",
    "Edge",
    "Node",
    "Step",
    "check_letter",
    "check_name",
    "steps_of",
    "values_of_node",
]


INPUT, TARGET, DIV, ERR = "x", "d", "Div", "Err"

#: Names that a node cannot have, nor, except x, an input or a shared parameter.
RESERVED = frozenset({INPUT, TARGET, DIV, ERR, "params"})


@dataclass(frozen=True, init=False)
class Node:
    """A named value: an op applied to the values named.

    Parameters
    ----------
    name : a Python identifier, such as "y1".
    op : what is computed.
    inputs : the names of the values it takes, in the op's order; "x" is the input.
    given : for letters of the op that are not its own: the name of a parameter or a value, or
        ``"E.T"`` for the transpose of "E".

    >>> from gradparity.core import Affine, ReLU
    >>> Node("y1", ReLU(), "z1").inputs
    ('z1',)
    >>> Node("z2", Affine(4, 3), "y1", W="E.T").given
    (('W', 'E.T'),)
    """

    name: str
    op: Op | Compound
    inputs: tuple[str, ...]
    given: tuple[tuple[str, str], ...]

    def __init__(self, name: str, op: Op | Compound, *inputs: str, **given: str) -> None:
        if not isinstance(op, Op | Compound):
            raise TypeError(
                f"node {name!r}: op is {received(op)}; give an op such as ReLU() or Affine(4, 3)"
            )
        bad = next((i for i in (*inputs, *given.values()) if not isinstance(i, str)), None)
        if not inputs or bad is not None:
            raise TypeError(
                f"node {name!r}: inputs are {received((*inputs, *given.values()))}; give names "
                "of values, such as 'x'"
            )
        if isinstance(op, Op):
            check_declared(name, op)
        letters = op.parameter_shapes() if isinstance(op, Op) else {}
        unknown = [letter for letter in given if letter not in letters]
        if unknown:
            raise ValueError(
                f"node {name!r}: {type(op).__name__} has no parameter {unknown[0]!r}; valid names: "
                f"{', '.join(letters) or 'none'}"
            )
        vars(self).update(name=name, op=op, inputs=inputs, given=tuple(given.items()))

    @property
    def takes(self) -> tuple[str, ...]:
        """Everything it takes by name, the transpose of "E" as "E_T"."""
        return (*self.inputs, *(_turned(name) for _, name in self.given))

    def expanded(self) -> list[Node]:
        """The node itself, or the nodes that a compound op stands for."""
        if isinstance(self.op, Op):
            return [self]
        nodes: list[Node] = []
        graph = self.op.graph()
        taken = {y for _, _, takes in graph for y in takes if isinstance(y, int)}
        if len(self.inputs) != len(taken):
            raise ValueError(
                f"node {self.name!r}: {self.op!r} takes {len(taken)} inputs, received "
                f"{len(self.inputs)}: {', '.join(self.inputs)}"
            )
        for suffix, op, takes in graph:
            inputs = (self.inputs[y] if isinstance(y, int) else self.name + y for y in takes)
            nodes.append(Node(self.name + suffix, op, *inputs))
        return nodes


def _turned(name: str) -> str:
    return f"{name[:-2]}_T" if name.endswith(".T") else name


class Edge(NamedTuple):
    """One use of a value: from `source` into `target`, a node's name, or "Div".

    Where a node takes the same value twice, its uses are named ``"m[0]"`` and ``"m[1]"``.
    """

    source: str
    target: str


@dataclass(frozen=True, eq=False)
class Step:
    """A node with everything its evaluation needs looked up once.

    Attributes
    ----------
    inputs : names of everything the op takes: values, parameters, and the draw of a random op.
    edges : for each input, its use; None where it has no gradient.
    parameters : letter -> name, ``{"W": "W1", "b": "b1"}``, buffers among them.
    outputs, states : names of the values it gives; states have no gradient.
    draw : name of the draw of a random op; "" for others.
    given : letter -> name, for letters that it takes from elsewhere: shared parameters and values.
    needs : whether a parameter lies upstream of its values.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    edges: tuple[Edge | None, ...]
    parameters: dict[str, str]
    outputs: tuple[str, ...]
    states: tuple[str, ...] = ()
    draw: str = ""
    given: dict[str, str] = field(default_factory=dict)
    needs: bool = True

    @property
    def own(self) -> dict[str, str]:
        """Letter -> name, for the parameters that are this node's alone."""
        return {k: name for k, name in self.parameters.items() if k not in self.given}

    @property
    def taken(self) -> tuple[tuple[str, Edge | None], ...]:
        """The values that the op takes before its parameters, each with its use."""
        n = len(self.inputs) - len(self.op.parameter_shapes()) - bool(self.draw)
        return tuple(zip(self.inputs[:n], self.edges[:n], strict=True))

    @property
    def values(self) -> tuple[str, ...]:
        """The names of all that it gives."""
        return (*self.outputs, *self.states)

    def named(self, z: Any) -> dict[str, Any]:
        """The values that its op returned, by name."""
        return dict(zip(self.values, z if len(self.values) > 1 else (z,), strict=True))

    def joined(self, of: Mapping[str, Any]) -> Any:
        """The values of its op, looked up by name, as the op returned them."""
        z = tuple(of[name] for name in self.values)
        return z if len(z) > 1 else z[0]


def values_of_node(node: Node) -> tuple[str, ...]:
    """The names of what a node gives."""
    assert isinstance(node.op, Op)
    outputs = (*node.op.outputs, *node.op.states)
    return tuple(f"{node.name}.{output}" if output else node.name for output in outputs)


def check_name(name: str) -> None:
    if not is_identifier(name):
        raise ValueError(
            f"node name {received(name)}: give a Python identifier, such as 'z1' or 'hidden'"
        )
    if name in RESERVED or name.startswith("_"):
        raise ValueError(
            f"node name {received(name)} is reserved; choose another, such as "
            f"{name.strip('_')!r} followed "
            "by a number"
        )


def check_letter(letter: str, step: Step) -> None:
    if not is_identifier(letter) or letter.startswith("_") or letter in RESERVED:
        raise ValueError(
            f"node {step.name!r}: {step.op.name} has a parameter {letter!r}, which is not a name "
            "or is reserved; give a letter or a word, such as 'W' or 'beta'"
        )


def steps_of(
    nodes: Sequence[Node],
    fixed: frozenset[str],
    shared: frozenset[str],
    trainable: bool = False,
) -> tuple[Step, ...]:
    steps, trained = [], set(shared)
    for node in nodes:
        op, given = node.op, dict(node.given)
        assert isinstance(op, Op)
        suffix = re.sub(r"^z(?=\d+$)", "", node.name)
        suffix = suffix if suffix != node.name else f"_{node.name}"
        letters = {
            letter: _turned(given[letter]) if letter in given else letter + suffix
            for letter in op.parameter_shapes()
        }
        draw = f"{node.name}.draw" if op.random else ""
        inputs = (*node.inputs, *letters.values(), *filter(None, [draw]))
        free = {*fixed, draw, *(letters[b] for b in op.buffers)}
        edges = tuple(
            None
            if source in free
            else Edge(source, f"{node.name}[{i}]" if inputs.count(source) > 1 else node.name)
            for i, source in enumerate(inputs)
        )
        # What a node takes by letter from another node is a value, not a parameter.
        parameters = {k: v for k, v in letters.items() if k not in given or v in shared}
        needs = trainable or any(source in trained for source in node.takes)
        values = values_of_node(node)
        if parameters or needs:
            trained |= {*values}
        elsewhere = {letter: letters[letter] for letter in given}
        outputs, states = values[: len(op.outputs)], values[len(op.outputs) :]
        steps.append(
            Step(node.name, op, inputs, edges, parameters, outputs, states, draw, elsewhere, needs)
        )
    return tuple(steps)
