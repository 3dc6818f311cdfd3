"""A network: named nodes in topological order, a divergence, and how instances are averaged."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from ..formulas.divergences import Divergence
from ..formulas.op import Compound, Op

__all__ = ["Edge", "Network", "Node", "layered"]

INPUT = "x"

#: Names a node cannot have: the lecture's own, and the attributes of a module in a framework.
RESERVED = frozenset(
    """
    x d Div Err params
    T_destination add_module apply bfloat16 buffers build call_super_init children compile cpu cuda
    divergence double dump_patches eval extra_repr float forward get_buffer get_extra_state
    get_parameter get_submodule half init ipu load_state_dict modules mtia named_buffers
    named_children named_modules named_parameters network parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty trace train training type xpu zero_grad
    """.split()
)


@dataclass(frozen=True, init=False)
class Node:
    """A named value: an op applied to the values named.

    Parameters
    ----------
    name : a Python identifier, such as "y1".
    op : what is computed.
    inputs : the names of the values it takes, in the op's order; "x" is the input.

    >>> from gradparity.core import ReLU
    >>> Node("y1", ReLU(), "z1").inputs
    ('z1',)
    """

    name: str
    op: Op | Compound
    inputs: tuple[str, ...]

    def __init__(self, name: str, op: Op | Compound, *inputs: str) -> None:
        if not isinstance(op, Op | Compound):
            raise TypeError(
                f"node {name!r}: op is {op!r}; give an op such as ReLU() or Affine(4, 3)"
            )
        bad_input = next((i for i in inputs if not isinstance(i, str)), None)
        if not inputs or bad_input is not None:
            raise TypeError(
                f"node {name!r}: inputs are {inputs!r}; give names of values, such as 'x'"
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "op", op)
        object.__setattr__(self, "inputs", inputs)

    def expanded(self) -> list[Node]:
        """The node itself, or the chain of nodes that a compound op stands for."""
        if isinstance(self.op, Op):
            return [self]
        nodes: list[Node] = []
        for suffix, op in self.op.chain():
            inputs = (nodes[-1].name,) if nodes else self.inputs
            nodes.append(Node(self.name + suffix, op, *inputs))
        return nodes


class Edge(NamedTuple):
    """One use of a value: from `source` into `target`, a node's name, or "Div".

    Where a node takes the same value twice, its uses are told apart as ``"m[0]"`` and ``"m[1]"``.
    """

    source: str
    target: str


@dataclass(frozen=True, eq=False)
class Step:
    """A node with everything its evaluation needs looked up once."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    edges: tuple[Edge, ...]
    parameters: dict[str, str]  # letter -> full name, {"W": "W1", "b": "b1"}
    needs: bool = field(default=True)  # whether a parameter lies upstream of its inputs

    def own(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Its own parameters by the lecture's letter, of those of the network."""
        return {letter: params[name] for letter, name in self.parameters.items()}


class Network:
    """A directed acyclic graph of named values, a divergence on its output, and its parameters.

    Parameters
    ----------
    *nodes : in any order; each takes values by name, ``"x"`` being the input.
    divergence : Div(Y, d) of one instance.
    output : name of the node that is Y; the last one by default.
    reduction : Err is the "mean" (lecture) or "sum" of Div over instances.
    scale : a factor of Err, as in mixed-precision training (loss scaling).

    A parameter is named by its letter and its node: `W1`, `b1` at node `z1`, and `W_hidden` at a
    node `hidden`.

    Raises
    ------
    TypeError, ValueError : for a name that is unknown, used twice, reserved or not an identifier, a
        cycle (which is shown), or a node whose number of inputs does not fit its op.

    >>> from gradparity.core import *
    >>> net = Network(Node("z1", Affine(2, 3), "x"), Node("y1", Tanh(), "z1"), divergence=L2())
    >>> net.parameter_shapes
    {'W1': (2, 3), 'b1': (3,)}
    """

    def __init__(
        self,
        *nodes: Node,
        divergence: Divergence,
        output: str | None = None,
        reduction: str = "mean",
        scale: float = 1.0,
    ) -> None:
        if not nodes:
            raise ValueError("a network needs at least one node")
        for node in nodes:
            if not isinstance(node, Node):
                raise TypeError(
                    f"{node!r} is no Node; give Node(name, op, *inputs), or use layered"
                )
        if not isinstance(divergence, Divergence):
            raise TypeError(
                f"divergence is {divergence!r}; give one such as CrossEntropy() or L2()"
            )
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction is {reduction!r}; give 'mean' or 'sum'")
        if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
            raise ValueError(f"scale is {scale!r}; give a positive number, such as 2.0**14")
        last = nodes[-1].name
        self.nodes = _in_order([node for given in nodes for node in given.expanded()])
        self.divergence = divergence
        self.output = last if output is None else output
        self.reduction = reduction
        self.scale = float(scale)
        if self.output not in {node.name for node in self.nodes}:
            raise ValueError(f"output is {output!r}; nodes are {[n.name for n in self.nodes]}")
        self.steps = _steps(self.nodes)
        self.parameter_shapes = self._parameter_shapes()

    def __repr__(self) -> str:
        chain = ", ".join(f"{n.name}={n.op!r}" for n in self.nodes)
        risk = f"reduction={self.reduction!r}"
        risk += f", scale={self.scale!r}" if self.scale != 1.0 else ""
        return f"Network({chain}, divergence={self.divergence!r}, {risk})"

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Every use of a value, the output's use by the divergence last."""
        return (*(e for step in self.steps for e in step.edges), Edge(self.output, "Div"))

    def consumers(self, name: str) -> tuple[Edge, ...]:
        """The edges that leave a value."""
        return tuple(e for e in self.edges if e.source == name)

    def widths(self, x_width: int) -> dict[str, int]:
        """Width of every value, the input's being given; raises ValueError naming a misfit."""
        widths = {INPUT: x_width}
        for node in self.nodes:
            try:
                widths[node.name] = node.op.width(*(widths[i] for i in node.inputs))  # type: ignore[union-attr]
            except ValueError as error:
                raise ValueError(
                    f"node {node.name!r} <- {', '.join(node.inputs)}: {error}"
                ) from None
        return widths

    def input_width(self) -> int | None:
        """The width of x, where an op that consumes it says so."""
        widths = (getattr(s.op, "n_in", None) for s in self.steps if INPUT in s.inputs)
        return next((w for w in widths if w is not None), None)

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        taken = {node.name for node in self.nodes}
        for step in self.steps:
            for letter, shape in step.op.parameter_shapes().items():
                _check_letter(letter, step)
                name = step.parameters[letter]
                if name in taken:
                    raise ValueError(f"the name {name!r} of a parameter of {step.name!r} is taken")
                if 0 in shape:
                    raise ValueError(
                        f"node {step.name!r}: the parameter {letter!r} of {step.op!r} has shape "
                        f"{shape}, which holds no number; leave it out of parameter_shapes"
                    )
                taken.add(name)
                shapes[name] = shape
        return shapes


def layered(
    ops: Sequence[Op | Compound],
    divergence: Divergence,
    *,
    reduction: str = "mean",
    scale: float = 1.0,
) -> Network:
    """A chain of ops under the lecture's names: z1, y1, z2, ... with W1, b1, W2, ...

    An op with parameters (or a `Maxout`) opens layer k as `z<k>`; an activation is `y<k>`.

    >>> from gradparity.core import *
    >>> net = layered([Affine(4, 3), ReLU(), Affine(3, 2)], CrossEntropy(eps=0.01))
    >>> [node.name for node in net.nodes]
    ['z1', 'y1', 'z2']
    """
    nodes: list[Node] = []
    k, before = 0, INPUT
    if not isinstance(ops, Sequence):
        raise TypeError(f"layered takes a list of ops, received {ops!r}")
    for op in ops:
        if not isinstance(op, Op | Compound):
            raise TypeError(f"layered: {op!r} is no op; give one such as ReLU() or Affine(4, 3)")
        parts = op.chain() if isinstance(op, Compound) else (("", op),)
        for suffix, part in parts:
            if part.parameter_shapes():
                k, letter = k + 1, "z"
            elif suffix:
                k, letter = k + 1, "s"
            else:
                k, letter = max(k, 1), "y"
            if any(node.name == f"{letter}{k}" for node in nodes):
                k += 1
            nodes.append(Node(f"{letter}{k}", part, before))
            before = nodes[-1].name
    return Network(*nodes, divergence=divergence, reduction=reduction, scale=scale)


def _in_order(nodes: list[Node]) -> tuple[Node, ...]:
    """The nodes in topological order; every name checked."""
    by_name: dict[str, Node] = {}
    for node in nodes:
        _check_name(node.name)
        if node.name in by_name:
            raise ValueError(f"two nodes are named {node.name!r}; names are unique")
        by_name[node.name] = node
    for node in nodes:
        for name in node.inputs:
            if name != INPUT and name not in by_name:
                raise ValueError(
                    f"node {node.name!r} takes {name!r}, which is no node; "
                    f"there are 'x', {', '.join(map(repr, by_name))}"
                )
        expected, n = node.op.n_inputs, len(node.inputs)  # type: ignore[union-attr]
        if n != expected and not (expected is None and n >= 2):
            takes = "two or more values" if expected is None else f"{expected} value(s)"
            raise ValueError(
                f"node {node.name!r}: {type(node.op).__name__} takes {takes}, received {n}"
            )
    graph = {node.name: [i for i in node.inputs if i != INPUT] for node in nodes}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise ValueError(f"the network has a cycle: {cycle}; unroll it into nodes") from None
    if all(_before(node, by_name, nodes) for node in nodes):
        return tuple(nodes)
    return tuple(by_name[name] for name in order)


def _before(node: Node, by_name: dict[str, Node], nodes: list[Node]) -> bool:
    """Whether everything the node takes was given before it."""
    position = nodes.index(node)
    return all(i == INPUT or nodes.index(by_name[i]) < position for i in node.inputs)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"node name {name!r}: give a Python identifier, such as 'z1' or 'hidden'")
    if name in RESERVED or name.startswith("_"):
        raise ValueError(
            f"node name {name!r} is reserved (by the lecture or by a framework's modules); "
            f"choose another, such as {name.strip('_')!r} followed by a number"
        )


def _check_letter(letter: str, step: Step) -> None:
    """A parameter's letter is the name of an attribute in a framework's module."""
    good = isinstance(letter, str) and letter.isidentifier() and not letter.startswith("_")
    if not good or letter in RESERVED or keyword.iskeyword(letter):
        raise ValueError(
            f"node {step.name!r}: {step.op.name} has a parameter {letter!r}, which is no name or "
            "is reserved; give a letter or a word, such as 'W' or 'beta'"
        )


def _steps(nodes: tuple[Node, ...]) -> tuple[Step, ...]:
    steps, trainable = [], set()
    for node in nodes:
        edges = []
        for slot, source in enumerate(node.inputs):
            twice = node.inputs.count(source) > 1
            edges.append(Edge(source, f"{node.name}[{slot}]" if twice else node.name))
        assert isinstance(node.op, Op)
        suffix = re.sub(r"^z(?=\d+$)", "", node.name)
        suffix = suffix if suffix != node.name else f"_{node.name}"
        parameters = {letter: letter + suffix for letter in node.op.parameter_shapes()}
        needs = any(source in trainable for source in node.inputs)
        if parameters or needs:
            trainable.add(node.name)
        steps.append(Step(node.name, node.op, node.inputs, tuple(edges), parameters, needs))
    return tuple(steps)
