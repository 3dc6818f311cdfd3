"""A network: named nodes in topological order, parameters, and the scalars it ends at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..arithmetic.received import received
from ..formulas.divergences import Divergence
from ..formulas.movements import Transpose
from ..formulas.op import Compound, Op, Shape
from ..formulas.risk import Risk, Weighted
from .checks import (
    check_collections,
    check_factors,
    check_several,
    check_shared,
    check_turned,
    in_order,
)
from .declared import FormulaError, parameters_of, shapes_of_values
from .nodes import (
    DIV,
    ERR,
    INPUT,
    TARGET,
    Edge,
    Node,
    Step,
    check_letter,
    steps_of,
    values_of_node,
)

__all__ = [
    "Edge",
    "Network",
    "Node",
    "Step",
    "layered",
]


class Network:
    """A directed acyclic graph of named values, the scalar it ends at, and its parameters.

    Parameters
    ----------
    *nodes : in any order; each takes values by name, ``"x"`` being the input.
    divergence : Div(Y, d) of one sample: the network then ends at ``Err``.
    output : name of the node that is Y; the last one by default.
    reduction : Err is the "mean" (lecture) or "sum" of Div over samples.
    scale : a factor of Err, as in mixed-precision training (loss scaling).
    weights : the input that holds a weight per sample, if any.
    inputs : names of the inputs, if not "x" alone.
    fixed : those of them without a gradient, such as masks; so are `weights`, and all of integers
        or booleans.
    parameters : shapes, by name, of parameters that any nodes may take: ``W="E"`` or ``W="E.T"``.
    ends : without a divergence, the scalar values it ends at and their factors, ``{"a": 1.0}``:
        what is differentiated is their weighted sum.

    A parameter of a node's own is named by its letter and the node: `W1`, `b1` at node `z1`, and
    `W_hidden` at a node `hidden`.

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
        divergence: Divergence | None = None,
        output: str | None = None,
        reduction: str = "mean",
        scale: float = 1.0,
        weights: str | None = None,
        inputs: Sequence[str] = (INPUT,),
        fixed: Sequence[str] = (),
        parameters: Mapping[str, Shape] | None = None,
        ends: Mapping[str, float] | None = None,
    ) -> None:
        if not nodes:
            raise ValueError("a network needs at least one node")
        for node in nodes:
            if not isinstance(node, Node):
                raise TypeError(
                    f"{received(node)} is not a Node; give Node(name, op, *inputs), or use layered"
                )
        if ends is None and not isinstance(divergence, Divergence):
            raise TypeError(
                f"divergence is {received(divergence)}; give one such as CrossEntropy() or L2()"
            )
        for what, name in (("output", output), ("weights", weights)):
            if name is not None and not isinstance(name, str):
                raise TypeError(f"{what} is {received(name)}; give a name, or leave it out")
        if isinstance(divergence, Weighted):
            raise TypeError(
                f"divergence is {received(divergence)}; give {divergence.inner!r}, and the "
                "name of the "
                "input that holds the weights by weights="
            )
        if ends is not None and divergence is not None:
            raise TypeError("give either divergence= or ends=, not both")
        if ends is not None:
            check_factors(ends, weights)
        check_collections(inputs, fixed, parameters)
        self.inputs = tuple(inputs)
        self.fixed = frozenset(fixed) | {name for name in inputs if name == weights}
        self.parameters = {name: tuple(shape) for name, shape in (parameters or {}).items()}
        self._own = [node for given in nodes for node in given.expanded()]
        check_turned(self._own, self.parameters)
        names = sorted({p[:-2] for n in self._own for _, p in n.given if p.endswith(".T")})
        #: Nodes that no user has written: they transpose a shared parameter, by the node's name.
        self.turned = {f"{name}_T": name for name in names}
        turned = [Node(node, Transpose(), name) for node, name in self.turned.items()]
        self.nodes = in_order([*turned, *self._own], {*self.inputs, *self.parameters})
        self.divergence, self.reduction, self.scale = divergence, reduction, scale
        self.weights = weights
        self.output = nodes[-1].name if output is None else output
        self._settings: dict[str, Any] = {
            "divergence": divergence, "output": self.output, "reduction": reduction, "scale": scale,
            "weights": weights, "inputs": self.inputs, "fixed": tuple(fixed),
            "parameters": self.parameters, "ends": ends,
        }  # fmt: skip
        loss = [] if divergence is None else self._loss(divergence)
        self.ends = {ERR: 1.0} if ends is None else {n: float(f) for n, f in ends.items()}
        self.body = steps_of(self.nodes, self.fixed, frozenset(self.parameters))
        free = self.fixed | {TARGET, f"{DIV}.weight"}
        self.loss = steps_of(loss, free, frozenset(), True)
        self.steps = (*self.body, *self.loss)
        self.parameter_shapes = self._parameter_shapes()
        self._check_ends()
        self._uses: dict[str, list[Edge]] = {}
        for edge in (e for step in self.steps for e in step.edges if e is not None):
            self._uses.setdefault(edge.source, []).append(edge)

    @classmethod
    def open(
        cls, *nodes: Node, inputs: Sequence[str] = (INPUT,), fixed: Sequence[str] = ()
    ) -> Network:
        """Make a network that ends nowhere: the gradients of its last values come from outside."""
        network = cls(*nodes, inputs=inputs, fixed=fixed, ends={values_of_node(nodes[-1])[0]: 1.0})
        network.ends = {}
        network._settings["ends"] = None
        return network

    def __repr__(self) -> str:
        chain = ", ".join(f"{n.name}={n.op!r}" for n in self.nodes)
        if self.divergence is None:
            return f"Network({chain}, ends={self.ends!r})"
        risk = f"reduction={self.reduction!r}"
        risk += f", scale={self.scale!r}" if self.scale != 1.0 else ""
        return f"Network({chain}, divergence={self.divergence!r}, {risk})"

    def _loss(self, divergence: Divergence) -> list[Node]:
        """The two nodes that a divergence stands for."""
        names = [name for node in self.nodes for name in values_of_node(node)]
        check_several(self.output, self.nodes)
        if self.output not in names:
            raise ValueError(f"output is {received(self.output)}; valid names: {names}")
        if self.weights is None:
            risk = Risk(self.reduction, self.scale)
            return [Node(DIV, divergence, self.output, TARGET), Node(ERR, risk, DIV)]
        if self.weights not in self.inputs:
            raise ValueError(
                f"weights is {received(self.weights)}, which is not an input; inputs are "
                f"{self.inputs}"
            )
        risk = Risk(self.reduction, self.scale, weights=True)
        div = Node(DIV, Weighted(divergence), self.output, TARGET, self.weights)
        return [div, Node(ERR, risk, DIV, f"{DIV}.weight")]

    def changed(
        self,
        divergence: Divergence | None = None,
        reduction: str | None = None,
        ops: Mapping[str, Op] | None = None,
    ) -> Network:
        """The same network with another divergence, reduction, or ops at some nodes."""
        ops = ops or {}
        nodes = (Node(n.name, ops.get(n.name, n.op), *n.inputs, **dict(n.given)) for n in self._own)
        if not self.ends:
            return Network.open(*nodes, inputs=self.inputs, fixed=tuple(self.fixed))
        new = {"divergence": divergence, "reduction": reduction}
        given = {name: value for name, value in new.items() if value is not None}
        return Network(*nodes, **self._settings | given)

    def risk(self, *Div: Any) -> Any:
        """Err of Div, and of the weights where the network has some, in any arithmetic."""
        return self.loss[-1].op.forward(*Div)

    @cached_property
    def buffers(self) -> frozenset[str]:
        """The parameters that have no gradient."""
        return frozenset(
            name
            for step in self.steps
            for letter, name in step.parameters.items()
            if letter in step.op.buffers
        )

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """The parameters that have a gradient."""
        return tuple(name for name in self.parameter_shapes if name not in self.buffers)

    def consumers(self, name: str) -> tuple[Edge, ...]:
        """The uses of a value or parameter that have a gradient."""
        return tuple(self._uses.get(name, ()))

    def has_own_uses(self, name: str) -> bool:
        """Whether the gradient through one use of a value is a quantity beside the value's own.

        Of a parameter, and of what the loss is made of, it is only where there are several uses.
        """
        single = name in self.parameter_shapes or name in {v for s in self.loss for v in s.values}
        return not single or len(self.consumers(name)) > 1

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every use of a value with a quantity of its own, the output's use by Div last."""
        return tuple(
            edge
            for step in self.steps
            for edge in step.edges
            if edge is not None and self.has_own_uses(edge.source)
        )

    def shapes(self, given: Mapping[str, Shape]) -> dict[str, Shape]:
        """Shape of every value from those of the inputs; of the loss too, if that of d is given.

        Raises
        ------
        ValueError : naming the node that something does not fit.
        """
        shapes = {**given, **self.parameter_shapes}
        for step in self.steps if TARGET in given else self.body:
            names = [name for name in step.inputs if name != step.draw]
            try:
                takes = [shapes[name] for name in names]
                check_shared(step, takes)
                if isinstance(step.op, Weighted):
                    step.op.check_weights(names[2], *takes)
                shapes |= shapes_of_values(step.name, step.op, step.values, takes)
            except FormulaError:
                raise
            except ValueError as error:
                given_to = ", ".join(n for n in names if n not in step.parameters.values())
                raise ValueError(f"node {step.name!r} <- {given_to}: {error}") from None
            if step.draw:
                shapes[step.draw] = shapes[names[0]]
        return shapes

    def input_width(self) -> int | None:
        """The width of x, where an op that consumes it says so."""
        widths = (getattr(s.op, "n_in", None) for s in self.steps if INPUT in s.inputs)
        return next((w for w in widths if w is not None), None)

    def _check_ends(self) -> None:
        names = [name for step in self.steps for name in step.outputs]
        for name, factor in self.ends.items():
            if name not in names:
                raise ValueError(f"ends: {name!r} is not a value; valid names: {', '.join(names)}")
            if not factor:
                raise ValueError(
                    f"ends: the factor of {name!r} is {received(factor)}; give a number != 0"
                )

    def _parameter_shapes(self) -> dict[str, Shape]:
        shapes = dict(self.parameters)
        taken = {*self.inputs, *(name for step in self.steps for name in step.values), *shapes}
        for step in self.steps:
            for letter, shape in step.op.parameter_shapes().items():
                check_letter(letter, step)
                name = step.parameters.get(letter)
                if name is None or letter in step.given:
                    continue
                if name in self.parameters:
                    raise ValueError(
                        f"parameters: {name!r} is also the name of the own parameter {letter!r} of "
                        f"node {step.name!r}; choose another name for one of them, or share it: "
                        f"Node({step.name!r}, ..., {letter}={name!r})"
                    )
                if name in taken:
                    raise ValueError(
                        f"the name {received(name)} of a parameter of {step.name!r} is taken"
                    )
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
    names: set[str] = set()
    k, before = 0, INPUT
    if not isinstance(ops, Sequence):
        raise TypeError(f"layered takes a list of ops, received {received(ops)}")
    for op in ops:
        if not isinstance(op, Op | Compound):
            raise TypeError(
                f"layered: {op!r} is not an op; give one such as ReLU() or Affine(4, 3)"
            )
        parts = op.chain() if isinstance(op, Compound) else (("", op),)
        for suffix, part in parts:
            if parameters_of("layered", part):
                k, letter = k + 1, "z"
            elif suffix:
                k, letter = k + 1, "s"
            else:
                k, letter = max(k, 1), "y"
            k += f"{letter}{k}" in names
            nodes.append(Node(f"{letter}{k}", part, before))
            before = nodes[-1].name
            names.add(before)
    return Network(*nodes, divergence=divergence, reduction=reduction, scale=scale)
