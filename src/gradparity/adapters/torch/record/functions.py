"""Functions with a backward pass of their own: `torch.autograd.Function`.

Nothing marks where such a function ends but its `apply`, which is wrapped while a recording runs.
The ops of its forward pass make a network of the core's ops, and the function's backward is held to
backprop through that network: no formula is asked of the user.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Place
from ....core.network.composed import Composed
from ....core.network.nodes import Node, values_of_node
from .aten.table import Arguments, Mapped, UnmappedError, rule_of
from .aten.tensors import is_plain, memory_of, numbers, tensors_in, with_numbers
from .observed import Observed

__all__ = ["Function", "name_and_op", "wrapped_apply"]

#: Ops that give the same numbers in the same place.
SAME = {"aten::detach", "aten::alias", "aten::view_as", "aten::lift_fresh"}
#: Ops that take no more than the shape of a value.
SHAPE_ONLY = {
    f"aten::{name}"
    for name in (
        *("ones_like", "zeros_like", "full_like", "empty_like", "rand_like", "randn_like"),
        *("new_zeros", "new_ones", "new_full", "new_empty", "sym_size", "sym_numel"),
    )
}
#: The most ops whose composition is evaluated.
MOST = 4000


class Function:
    """One application of a function, and the ops of its forward pass.

    Attributes
    ----------
    place : where it was applied.
    kind : its class.
    inputs : the tensors that it was given, in order.
    """

    def __init__(self, place: Place, kind: Any, args: Any, kwargs: Any) -> None:
        self.place, self.kind, self.args, self.kwargs = place, kind, args, kwargs
        self.inputs = list(tensors_in([*args, *kwargs.values()]))
        self.edges = [
            (t if t.grad_fn is None else t.grad_fn, 0 if t.grad_fn is None else t.output_nr)
            for t in self.inputs
        ]
        self.needs = [t.requires_grad for t in self.inputs]
        self.arrays = [t.detach().clone() for t in self.inputs]
        self._names: dict[int, str] = {id(t): f"y{i}" for i, t in enumerate(self.inputs)}
        self._kept: list[torch.Tensor] = list(self.inputs)
        self._nodes: list[Node] = []
        self._constants: dict[str, NDArray] = {}
        self._arrived: list[Any] = []
        self._ops = 0
        self._libraries: list[str] = []
        self.why = ""
        #: Whether a rule of the user's does not fit, who is to be told.
        self.has_wrong_rule = False
        #: Empty tensors of the number formats that its forward pass has results in.
        self.formats: dict[torch.dtype, torch.Tensor] = {}

    # ---- forward --------------------------------------------------------------------------------

    def saw(self, op: Any, given: Mapping[str, Any], out: Any) -> None:
        """Note an op of its forward pass."""
        for t in tensors_in(out):
            if t.is_floating_point():
                self.formats.setdefault(t.dtype, torch.empty(0, dtype=t.dtype))
        if self.why:
            return
        outs = list(tensors_in(out))
        try:
            self._add(op, given, outs)
        except (UnmappedError, ValueError) as why:
            self.has_wrong_rule = op.namespace not in ("aten", "prims")
            self._unknown(outs, f"{op}: {why}")
        except Exception as error:  # a fault of this package must not end the user's program
            self.has_wrong_rule = op.namespace not in ("aten", "prims")
            whose = "its rule" if self.has_wrong_rule else "gradparity"
            self._unknown(outs, f"{op}: {type(error).__name__} in {whose}: {error}")

    def opened(self, op: Any) -> bool:
        """Whether the ops inside of an op are of interest, and not the op itself."""
        if rule_of(op) is None and op.namespace not in ("aten", "prims"):
            self._libraries.append(op._schema.name)
            return True
        return False

    def _add(self, op: Any, given: Mapping[str, Any], outs: list[torch.Tensor]) -> None:
        depends = [t for t in tensors_in(list(given.values())) if id(t) in self._names]
        written = [t for n in Observed.written(op, given) for t in tensors_in(given.get(n))]
        if not depends or op._schema.name in SHAPE_ONLY:
            if any(id(t) in self._names for t in written):
                self._unknown(outs, f"{op} writes into a value")
            return  # a constant
        if op._schema.name in SAME:
            self._alias(outs[0], self._names[id(depends[0])])
            return
        if not any(t.is_floating_point() for t in outs):
            return  # comparisons and indices: constants at these inputs
        rule = rule_of(op)
        if rule is None:
            self._unknown(outs, f"there is no formula for {op}")
            return
        if not all(map(is_plain, [*depends, *outs])):
            self._unknown(outs, f"{op} on sparse, complex or quantised tensors")
            return
        if any(t._base is not None or _is_base(t, self._kept) for t in written):
            self._unknown(outs, f"{op} writes into a view")
            return
        kept = {n: _detached(v) for n, v in given.items()}
        mapped = rule(Arguments(kept, [t.detach() for t in outs]))
        self._node(mapped, given, outs)

    def _node(self, mapped: Mapped, given: Mapping[str, Any], outs: list[torch.Tensor]) -> None:
        self._ops += 1
        if self._ops > MOST:
            self.why = f"its forward pass has more than {MOST} ops"
            return
        names = [self._source(which, given) for which in mapped.inputs]
        letters = tuple(mapped.op.parameter_shapes())
        values = names[: len(names) - len(letters)]
        letter = dict(zip(letters, names[len(values) :], strict=True))
        node = Node(f"a{self._ops}", mapped.op, *values, **letter)
        self._nodes.append(node)
        for name, i in zip(values_of_node(node), mapped.outputs, strict=False):
            if isinstance(i, int):
                self._alias(outs[i], name)

    def _source(self, which: Any, given: Mapping[str, Any]) -> str:
        """The name of an input of an op; of what is no value of the function, a constant's."""
        if not isinstance(which, np.ndarray):
            value = given[which] if isinstance(which, str) else given[which[0]][which[1]]
            if id(value) in self._names:
                return self._names[id(value)]
            which = numbers(value).copy()
        name = f"c{len(self._constants)}"
        self._constants[name] = which
        return name

    def _alias(self, tensor: torch.Tensor, name: str) -> None:
        self._names[id(tensor)] = name
        self._kept.append(tensor)  # so that no other tensor gets its id

    def _unknown(self, outs: list[torch.Tensor], why: str) -> None:
        self.why = self.why or why

    # ---- afterwards -----------------------------------------------------------------------------

    def ended(self, out: Any) -> list[torch.Tensor]:
        """Its outputs that have a gradient; called as soon as they have their node."""
        floats = [t for t in tensors_in(out) if t.is_floating_point()]
        outs = [t for t in tensors_in(out) if t.requires_grad]
        self.positions = [k for k, t in enumerate(floats) if t.requires_grad]
        self.gives = [self._names.get(id(t), "") for t in outs]
        if not all(self.gives):
            self.why = self.why or "its result is not made by the ops of its forward pass"
            if self._libraries:
                self.why += f"; gradparity.rule({self._libraries[-1]!r}) can say what it computes"
        self._kept.clear()
        return outs

    def observed(self, node: Any, outs: list[torch.Tensor], name: Callable[..., str]) -> Observed:
        """The application as an observed op, whose formula is the composition."""
        made = Observed(self.place, None, {})
        made.given = dict(enumerate(self.arrays))  # type: ignore[arg-type]
        made.outs = [t.detach() for t in outs]
        made.numbers = [t.output_nr for t in outs]
        made.targets = node.next_functions
        free = dict(enumerate(made.targets))
        for i, (target, slot) in enumerate(self.edges):
            for k, (other, its) in free.items():
                same = other is target or getattr(other, "variable", None) is target
                if other is not None and same and its == slot:
                    made.slots[i, None] = k  # type: ignore[index]
                    made.sources[i, None] = name(other, its)  # type: ignore[index]
                    del free[k]
                    break
        try:
            made.mapped = None if self.why else self._mapped()
        except ValueError as why:
            self.why, self.has_wrong_rule = str(why), True
        made.why = self.why
        made.function = self
        return made

    def arrived(self, gradients: Any) -> None:
        """Keep the gradients that arrive, which a backward must not write into, and may."""
        with torch.no_grad():
            self._arrived = [None if g is None else g.detach().clone() for g in gradients]

    def as_it_arrived(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """The gradients that arrived, as they were before its backward ran."""
        kept, self._arrived = self._arrived, []
        if len(kept) != len(gradients):
            return gradients
        return [g if k is None else k for g, k in zip(gradients, kept, strict=True)]

    def evaluate(self, arrays: Sequence[NDArray]) -> list[NDArray] | None:
        """Its outputs for other numbers in float64, by itself; None where it does not run."""
        given = iter(arrays)
        state, ordinary = torch.random.get_rng_state(), torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            with torch.no_grad():
                args = with_numbers(self.args, given)
                out = self.kind.apply(*args, **self.kwargs)
            found = [t for t in tensors_in(out) if t.is_floating_point()]
            return [numbers(found[i]) for i in self.positions]
        except Exception:  # the user's code, on numbers that it did not expect
            return None
        finally:
            torch.set_default_dtype(ordinary)
            torch.random.set_rng_state(state)

    def _mapped(self) -> Mapped:
        values = [f"y{i}" for i in range(len(self.arrays))]
        inputs = (*values, *self._constants)
        fixed = (
            *self._constants,
            *(f"y{i}" for i, a in enumerate(self.arrays) if not a.is_floating_point()),
        )
        nodes, gives = self._with_identities()
        op = Composed(name_and_op(self.kind)[0], *nodes, inputs=inputs, gives=gives, fixed=fixed)
        given = (*((i, None) for i in range(len(values))), *self._constants.values())
        return Mapped(op, given, tuple(range(len(gives))))

    def _with_identities(self) -> tuple[list[Node], list[str]]:
        """Every output as a node of its own, also one that is an input."""
        from ....core.vocabulary.pointwise import Scale

        nodes, gives = list(self._nodes), []
        for i, name in enumerate(self.gives):
            if name.startswith("y") or name in gives:
                nodes.append(Node(f"out{i}", Scale(1.0), name))
                name = f"out{i}"
            gives.append(name)
        return nodes, gives


def name_and_op(kind: Any) -> tuple[str, str]:
    """The name of a function in a recording, and what it is.

    PyTorch makes a function of every op of `torch.library` that has a backward; it is named after
    the op.
    """
    if kind.__name__.startswith("GeneratedBackwardFor_"):
        op = inspect.getclosurevars(inspect.unwrap(kind.forward)).nonlocals.get("op")
        if op is not None:
            return op._schema.name.replace("::", "_"), str(op)
    return kind.__name__, kind.__qualname__


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    return [_detached(each) for each in value] if isinstance(value, list | tuple) else value


def _is_base(tensor: torch.Tensor, those: list[torch.Tensor]) -> bool:
    """Whether another of these tensors lies in the same memory."""
    memory = memory_of(tensor)
    return any(t is not tensor and memory_of(t) == memory for t in those)


@contextlib.contextmanager
def wrapped_apply(around: Callable[..., Any]) -> Iterator[None]:
    """Let ``around(apply, kind, args, kwargs)`` stand for `apply` of every function.

    It stands where `torch.autograd.Function.apply` looks for it, so that a function is found too
    whose `apply` was taken from its class before.  Compiled code may keep what stands there while
    it is compiled; afterwards that is what was there before.
    """
    kinds = torch.autograd.function._SingleLevelFunction
    before = kinds.__dict__.get("apply")

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        own = super(kinds, cls).apply if before is None else before.__get__(None, cls)
        return around(own, cls, args, kwargs) if running else own(*args, **kwargs)

    running = True
    kinds.apply = classmethod(apply)
    try:
        yield
    finally:
        if before is None:
            del kinds.apply
        else:
            kinds.apply = before
        running = False
