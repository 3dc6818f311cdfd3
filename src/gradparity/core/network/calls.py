"""Records of one op of a real program as plain arrays: the units of a recording.

A framework's op is mapped to an op of the core, and its tensors to that op's inputs and outputs, so
that it can be judged by the same formulas as a node of a written network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..arithmetic.arrays import NDArray
from ..formulas.op import Op
from ..optimizers.update import ChangedGradient, Clipping, Update
from .states import State

__all__ = ["DATA", "Call", "Listener", "NoFormula", "Operand", "Place", "Sum", "Unjudged"]


#: The names of nodes that run on what has no gradient, such as on data, begin with this.
DATA = "data."


@dataclass(frozen=True)
class Place:
    """A location in a program.

    Attributes
    ----------
    node : its name in the recording, such as "addmm_3"; unique.
    function : the framework's op, such as "aten.addmm".
    module : path of the module that was running, such as "encoder.layers.1.norm2"; "" for none.
    source : file and line of the user's code, such as "model.py:92"; "" if unknown.
    """

    node: str
    function: str = ""
    module: str = ""
    source: str = ""


@dataclass(frozen=True, repr=False)
class NoFormula(Op):
    """An op that no formula is known of: its gradients are held to differences of its values.

    Attributes
    ----------
    function : the framework's op.
    why : the reason why there is none.
    """

    function: str
    why: str

    def __repr__(self) -> str:
        return self.function


@dataclass(frozen=True, eq=False)
class Operand:
    """One input of an op.

    Attributes
    ----------
    array : its numbers.
    source : name of the value, parameter or input that it is; "" for a constant.
    gradient : what left through this use; None if nothing did, which is a claim that it is zero.
    asked : whether the framework was asked for that gradient.
    made : how many roundings of what size it may be off by where a compiler computes it anew to
        read it: an array of its shape; None if it does not.
    data : of a constant the name of the value without a gradient that it is; "" if it is none.
    """

    array: NDArray
    source: str = ""
    gradient: NDArray | None = None
    asked: bool = False
    made: NDArray | None = None
    data: str = ""

    @property
    def name(self) -> str:
        """The name of the value that it is, with or without a gradient; "" for another constant."""
        return self.source or self.data


@dataclass(frozen=True, eq=False)
class Call:
    """One op of a program: what went in and came out, forward and backward.

    Attributes
    ----------
    place : where it is.
    op : the op of the core that it is held to.
    inputs : in the op's order.
    z : one array per output and state of the op; None for one that is not there.
    dz : the gradient that arrived at each output; None where none did.
    precision : the number format that its results have.
    again : computes it once more in float64, with the framework's own op; None if it cannot be.
    names : of each z as the inputs of other calls name it; "" for one that nothing can take.
    is_function : whether it is a function of the user's with a backward of its own.
    added : for each dz the sum of the sizes of what it was added up from; None for one use.
    fused : whether a compiler may have held its gradient unrounded.
    remark : what happened to its tensors afterwards; "" if nothing did.
    evaluate : of a function with a backward of its own, its outputs in float64 for other inputs,
        by itself; it returns None where the function does not run.
    searches : whether its forward pass is a loop that ends by a condition on its numbers.
    """

    place: Place
    op: Op
    inputs: tuple[Operand, ...]
    z: tuple[NDArray | None, ...]
    dz: tuple[NDArray | None, ...]
    precision: str
    again: Callable[[], Call | None] | None = None
    evaluate: Callable[[Sequence[NDArray]], Sequence[NDArray] | None] | None = None
    names: tuple[str, ...] = ()
    is_function: bool = False
    fused: bool = False
    added: tuple[NDArray | None, ...] = ()
    remark: str = ""
    searches: bool = False

    def copied(self) -> Call:
        """The call with numbers that the program cannot change any more."""

        def copy(a: NDArray | None) -> NDArray | None:
            return None if a is None else a.copy()

        inputs = (replace(o, array=o.array.copy(), gradient=copy(o.gradient)) for o in self.inputs)
        z, dz = (tuple(map(copy, arrays)) for arrays in (self.z, self.dz))
        return replace(self, inputs=tuple(inputs), z=z, dz=dz)

    @property
    def elements(self) -> int:
        """The number of elements of all inputs and outputs."""
        arrays = (*(operand.array for operand in self.inputs), *self.z)
        return sum(a.size for a in arrays if a is not None)


@dataclass(frozen=True, eq=False)
class Sum:
    """The gradient that arrived at a value, and what left for it through each of its uses.

    Attributes
    ----------
    source : name of the value, parameter or input.
    parts : what left through each use, in order.
    uses : the names of the nodes that it left.
    got : what arrived.
    final : whether it is a parameter or an input of the program.
    hooks : names of the hooks that were there to change it on its way.
    changed : whether something wrote into it on its way.
    accumulated : whether it is what a leaf holds after a gradient was added to what was there.
    writer : what else has written into it during the pass; "" for nothing.
    hookable : whether the program can have changed it by a hook that is not seen.
    """

    place: Place
    source: str
    parts: tuple[NDArray, ...]
    uses: tuple[str, ...]
    got: NDArray
    precision: str
    final: bool = False
    hooks: tuple[str, ...] = ()
    changed: bool = False
    accumulated: bool = False
    writer: str = ""
    hookable: bool = True

    @cached_property
    def is_its_part(self) -> bool:
        """Whether what arrived is, bit for bit, what left through a single use, as it mostly is."""
        if len(self.parts) > 1 or self.accumulated or self.changed:
            return False
        return np.array_equal(self.got, self.parts[0])

    def plus(self, other: Sum) -> Sum:
        """The sum of this pass and of another one."""
        parts, uses = (*self.parts, *other.parts), (*self.uses, *other.uses)
        return replace(self, parts=parts, uses=uses, got=self.got + other.got)


@dataclass(frozen=True)
class Unjudged:
    """An op that no formula was applied to, and the reason.

    `failed` says that it is an error of this package.
    """

    place: Place
    why: str
    sources: tuple[str, ...] = field(default=())
    failed: bool = False


class Listener:
    """Receives what a program does, while it runs; does nothing by itself."""

    #: Whether to tell of arguments and ops without a gradient and of states; they are copied.
    keeps_states = False

    def expected(self, elements: int) -> None:
        """Ops whose operands and results have so many elements are left to be told of."""

    def called(self, call: Call) -> None:
        """One op has run backward, or never will."""

    def prepared(self, call: Call) -> None:
        """One op has run on what has no gradient, such as on data."""

    def summed(self, total: Sum) -> None:
        """The gradient of a value has arrived from all of its uses."""

    def not_judged(self, what: Unjudged) -> None:
        """An op has no formula."""

    def updated(self, place: Place, update: Update) -> None:
        """An optimizer has changed the parameters of a group."""

    def clipped(self, place: Place, clipping: Clipping) -> None:
        """Gradients were clipped."""

    def gradient_changed(self, place: Place, changed: ChangedGradient) -> None:
        """A gradient was changed while a step ran."""

    def changed_between(self, place: Place, names: Sequence[str]) -> None:
        """A step took gradients of these parameters that are not what backward left."""

    def step_not_judged(self, what: Unjudged) -> None:
        """An optimizer, or a clipping, has no rule."""

    def was_given(self, name: str, array: NDArray) -> None:
        """The program was given an array without a gradient, such as a mask."""

    def left_state(self, name: str, state: State) -> None:
        """The program has left a state, such as a running mean."""

    def sampled(self, node: str, steps: int, judged: int) -> None:
        """Only `judged` of the `steps` of a loop are judged."""
