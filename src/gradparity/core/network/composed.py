"""An op that is a small network of other ops, for what a framework computes in one go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.choices import Choice, Slots
from ..formulas.op import Movement, Op, Shape
from ..vocabulary.pointwise import Scale
from .backprop import backward_pass, forward_pass
from .network import Network
from .nodes import Node

__all__ = ["Composed"]


#: So many ops are named of a long composition.
FEW_NAMES = 12


class Composed(Op):
    """A network of ops as one op: z = its last values, dy by the distributed chain rule.

    Parameters
    ----------
    title : what it computes, for reports.
    *nodes : as for a `Network`, in order.
    inputs : names of the values that it takes.
    gives : names of the values that it returns; the last node by default.
    fixed : those of its inputs that have no gradient.
    mistake : a node, an op in its place with which a wrong gradient is right, and what to say then.

    >>> from gradparity.ops import Add, MatMul
    >>> op = Composed("addmm", Node("p", MatMul(), "a", "b"), Node("z", Add(), "p", "c"),
    ...               inputs=("a", "b", "c"))
    >>> one = np.ones((2, 2))
    >>> op.forward(one, one, one).tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    >>> [g.tolist() for g in op.vjp(one, (one, one, one), None)][2]
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        title: str,
        *nodes: Node,
        inputs: Sequence[str],
        gives: Sequence[str] = (),
        fixed: Sequence[str] = (),
        mistake: tuple[str, Op, str] | None = None,
    ) -> None:
        self.title, self.gives = title, tuple(gives) or (nodes[-1].name,)
        self.mistake = mistake
        self.network = Network.open(*nodes, inputs=inputs, fixed=fixed)
        self.outputs = (  # type: ignore[misc]  # they depend on the network
            ("",) if len(self.gives) == 1 else tuple(f"z{i}" for i in range(len(self.gives)))
        )
        self.n_inputs = len(self.network.inputs)  # type: ignore[misc]

    def __repr__(self) -> str:
        names = [step.op.name for step in self.network.body]
        few = ", ".join(names[:FEW_NAMES])
        more = len(names) - FEW_NAMES
        return f"{self.title} = {few}" + (f", ... ({more} more)" if more > 0 else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Composed) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((self.title, self.gives, self.network.inputs))

    @property
    def _parts(self) -> tuple[Any, ...]:
        """A key that is equal for compositions of the same steps."""
        steps = [(step.name, step.op, step.inputs) for step in self.network.body]
        return self.title, self.gives, self.network.inputs, steps

    def with_op(self, node: str, op: Op) -> Composed:
        """The same with another op at one of its nodes."""
        changed = self.network.changed(ops={node: op})
        made = Composed.__new__(Composed)
        vars(made).update(vars(self), network=changed)
        return made

    @property
    def name(self) -> str:
        """The title."""
        return self.title

    @property
    def hides(self) -> bool:
        return any(step.op.hides for step in self.network.body)

    def output_shape(self, *shapes: Shape) -> Any:
        found = self.network.shapes(dict(zip(self.network.inputs, shapes, strict=True)))
        z = tuple(found[name] for name in self.gives)
        return z if len(z) > 1 else z[0]

    def _values(self, y: tuple[Array, ...]) -> Any:
        return forward_pass(self.network, dict(zip(self.network.inputs, y, strict=True)))

    def forward(self, *y: Array) -> Any:
        value = self._values(y).value
        z = tuple(value[name] for name in self.gives)
        return z if len(z) > 1 else z[0]

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array | None, ...]:
        each = dz if len(self.gives) > 1 else (dz,)
        start = dict(zip(self.gives, each, strict=True))
        grad = backward_pass(self._values(y), start=start).grad
        return tuple(grad.get(name) for name in self.network.inputs)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Choice | None:
        """The valid set where one op with kinks stands between movements; see `meets_kinks`.

        Its routes are followed where every element comes from one other at most.
        """
        if not self._is_chain:
            return None
        k = next(i for i, step in enumerate(self.network.body) if not _moves(step.op))
        before, kinked, after = (
            self.network.body[:k],
            self.network.body[k].op,
            self.network.body[k + 1 :],
        )
        inner, source = y[0], np.arange(y[0].size).reshape(y[0].shape)
        for step in before:
            inner, source = _moved(step.op, inner, 0.0), _moved(step.op, source, -1)
        found = kinked.subdifferential((inner,), tiny)
        if not isinstance(found, Slots):
            return None
        place = np.arange(math.prod(kinked.output_shape(inner.shape)))
        place = place.reshape(kinked.output_shape(inner.shape))
        for step in after:
            place = _moved(step.op, place, -1)
        if not (_is_once(source) and _is_once(place)):
            return None
        where = np.full(math.prod(kinked.output_shape(inner.shape)), -1)
        where[place.ravel()] = np.arange(place.size)
        group, element = where[found.group], source.ravel()[found.element]
        kept = group >= 0
        if not kept.any():
            return None
        return found.through(group, element, kept)

    def without_value(self, *y: NDArray) -> str:
        body = self.network.body
        if all(type(step.op).without_value is Op.without_value for step in body):
            return ""
        with np.errstate(all="ignore"):
            value = self._values(y).value
        for step in body:
            if why := step.op.without_value(*(np.asarray(value[n]) for n in step.inputs)):
                return why
        return ""

    @property
    def _is_chain(self) -> bool:
        """Whether it is movements, and pairs of minus signs, with one other op between them."""
        body = self.network.body
        single = all(len(step.inputs) == 1 for step in body)
        turned = sum(step.op == MINUS for step in body)
        return single and turned % 2 == 0 and sum(not _moves(step.op) for step in body) == 1

    def meets_kinks(self, y: tuple[NDArray, ...], tiny: float) -> bool:
        """Whether one of its ops is at a kink, so that several gradients may be valid."""
        value = self._values(y).value

        def meets(op: Op, inputs: tuple[NDArray, ...]) -> bool:
            if isinstance(op, Composed):
                return op.meets_kinks(inputs, tiny)
            return op.subdifferential(inputs, tiny) is not None

        body = self.network.body
        return any(meets(s.op, tuple(np.asarray(value[n]) for n in s.inputs)) for s in body)


#: It turns the largest into the smallest.
MINUS = Scale(-1.0)


def _moves(op: Op) -> bool:
    return isinstance(op, Movement) or op == MINUS


def _moved(op: Op, a: NDArray, fill: float) -> NDArray:
    """Numbers or their places after a movement; `fill` is negative for places."""
    if isinstance(op, Movement):
        return op.move(a, fill)
    return a if fill < 0 else -a


def _is_once(places: NDArray) -> bool:
    """Whether all of them are places, none of which occurs twice."""
    return bool((places >= 0).all() and np.bincount(places.ravel()).max(initial=0) <= 1)
