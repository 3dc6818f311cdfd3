"""One op of a program as it ran: what went in and came out, and where its gradients go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Reshape
from ....core.network.calls import Place
from ....core.network.composed import Composed
from ....core.network.nodes import Node
from ....core.programs.indexing import Index
from .aten.table import Mapped
from .aten.tensors import memory_of, tensors_in
from .views import index_of_view

__all__ = ["Observed", "Path"]

#: The name of an argument of an op, with the position in it where it is a list.
Path: TypeAlias = tuple[str, int | None]

#: Arguments with a name of their own in messages; any other is an "input".
NAMED = ("weight", "bias", "running_mean", "running_var", "mask", "attn_mask", "target")

#: Ops that write, in training, into arguments that their schema does not say.
UNSAID = {
    "aten::native_batch_norm": ("running_mean", "running_var"),
    "aten::cudnn_batch_norm": ("running_mean", "running_var"),
    "aten::miopen_batch_norm": ("running_mean", "running_var"),
}


class Observed:
    """One op as it ran.

    Its tensors share their memory with the program's, without a place in the graph; what the
    program is about to overwrite is copied before.

    Attributes
    ----------
    place : where it is.
    op : the overload.
    prepares : whether it has no gradient, as on data.
    given : argument -> value.
    outs : the tensors that it returned, in order.
    written_after : argument -> what it held afterwards, for those that the op wrote into.
    slots : argument -> which edge of the node of autograd is its own.
    sources : argument -> the name of the value, parameter or input.
    numbers : of each output its number at the node; None for one without a gradient.
    overwritten : which of its tensors was overwritten after it ran and where, such as "weight was
        overwritten at train.py:7"; "" if none was.
    bases : argument -> the whole that it is a view of, as it was, for those that are written into.
    mapped, why : what it is to the core, where that is not in the table; or why it is nothing.
    function : the application of a function with a backward of its own that it is; else None.
    written_path, written_index : of an op that wrote into a view, that argument, which is the whole
        base then, and the positions of the view in it.
    """

    def __init__(
        self, place: Place, op: Any, given: Mapping[str, Any], *, prepares: bool = False
    ) -> None:
        self.place, self.op, self.prepares = place, op, prepares
        written = {*self.written(op, given)} if op is not None else set()
        self.given: dict[str, Any] = {
            name: _kept(value, copied=name in written) for name, value in given.items()
        }
        self.outs: list[torch.Tensor | None] = []
        self.written_after: dict[str, torch.Tensor] = {}
        self.slots: dict[Path, int] = {}
        self.sources: dict[Path, str] = {}
        self.numbers: list[int | None] = []
        self.overwritten = ""
        self.mapped: Mapped | None = None
        self.why = ""
        self.function: Any = None
        self.written_path: Path | None = None
        self.written_index: NDArray | None = None
        self.targets: tuple[Any, ...] = ()
        self.done = False
        self._edges: dict[Path, tuple[Any, int]] = {
            path: _edge_of(t) for path, t in _by_path(given) if t.requires_grad
        }
        self.bases: dict[str, torch.Tensor] = {
            n: given[n]._base.detach().clone()
            for n in written
            if isinstance(given.get(n), torch.Tensor) and given[n]._base is not None
        }
        self._after = {n: given[n] for n in written if isinstance(given.get(n), torch.Tensor)}

    @staticmethod
    def arguments(op: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """Every argument of a call by name, with defaults."""
        schema = op._schema.arguments
        given = {a.name: a.default_value for a in schema if a.has_default_value()}
        return {**given, **dict(zip((a.name for a in schema), args, strict=False)), **kwargs}

    @staticmethod
    def written(op: Any, given: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments that an op writes into."""
        said = (a.name for a in op._schema.arguments if a.alias_info and a.alias_info.is_write)
        unsaid = UNSAID.get(op._schema.name, ()) if given.get("training", True) else ()
        return (*said, *unsaid)

    def returned(self, out: Any) -> None:
        """Keep what the op returned."""
        several = out if isinstance(out, list | tuple) else ()
        given = [out] if isinstance(out, torch.Tensor) else list(several)
        flat = [t for each in given for t in (each if isinstance(each, list) else [each])]
        self.outs = [t.detach() if isinstance(t, torch.Tensor) else None for t in flat]
        self.written_after = {name: t.detach().clone() for name, t in self._after.items()}
        del self._after

    def is_formula_of(self, node: str) -> bool:
        """Whether a node of autograd has the name of this op's derivative formula."""
        own, node = self.op._schema.name.rpartition("::")[2], node.rpartition("::")[2]
        if node.endswith("_copy"):  # "DiagonalBackward0_copy" is that of "diagonal_copy"
            own = own.removesuffix("_copy")
        return _plain(node.partition("Backward")[0]) == _plain(own).removesuffix("forward")

    @classmethod
    def of_view(
        cls, place: Place, op: Any, view: torch.Tensor, base: torch.Tensor, source: str
    ) -> Observed:
        """A view that autograd makes anew of its base, after something was written into it."""
        made = cls(place, op, {"base": base})
        made.given["base"] = base.detach()
        made.outs, made.numbers = [view.detach()], [view.output_nr]
        made.targets = view.grad_fn.next_functions
        made.slots, made.sources = {("base", None): 0}, {("base", None): source}
        flat = Node("flat", Reshape((base.numel(),), keep=0), "y")
        taken = Node("z", Index((True,)), "ids", "flat")
        view_of = Composed("view", flat, taken, inputs=("ids", "y"), fixed=("ids",))
        made.mapped = Mapped(view_of, (index_of_view(view, base), "base"))
        return made

    def within(
        self, node: Any, base: torch.Tensor, index: NDArray, name: Callable[..., str]
    ) -> None:
        """Find the edges of an op that wrote into a view; the node is that of the whole base."""
        written = next(iter(self.bases))
        path: Path = (written, None)
        self.written_index, self.written_path = index, path
        self._edges.pop(path, None)
        self.connected(node, [base], name, first=1)
        self.numbers = [0]
        target, slot = node.next_functions[0]
        if target is not None:
            self.slots[path], self.sources[path] = 0, name(target, slot)
        self.given[written] = self.bases[written]
        self.outs = [base.detach()]

    def connected(
        self, node: Any, outs: list[torch.Tensor], name: Callable[..., str], first: int = 0
    ) -> None:
        """Find the edge of every argument, once autograd has made the node; from `first` on."""
        self.targets = node.next_functions
        free = dict(list(enumerate(self.targets))[first:])
        for path, (target, slot) in self._edges.items():
            for k, (other, its) in free.items():
                same = other is target or getattr(other, "variable", None) is target
                if other is not None and same and its == slot:
                    self.slots[path] = k
                    self.sources[path] = name(other, its)
                    del free[k]
                    break
        del self._edges
        numbers = iter([t.output_nr if t.grad_fn is node else None for t in outs])
        self.numbers = [None if out is None else next(numbers) for out in self.outs]

    def tensors(self) -> Iterator[torch.Tensor]:
        """Every tensor that it holds."""
        yield from tensors_in([*self.given.values(), *(t for t in self.outs if t is not None)])

    def copy_storage(self, pointer: int, by: str) -> None:
        """Copy every tensor in this storage, which is about to be overwritten."""

        def copied(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return value.clone() if memory_of(value) == pointer else value
            return [copied(each) for each in value] if isinstance(value, list) else value

        held = [n for n, v in self.given.items() if any(memory_of(t) == pointer
                for t in tensors_in(v))]  # fmt: skip
        which = "result" if not held else held[0] if held[0] in NAMED else "input"
        self.given = {name: copied(value) for name, value in self.given.items()}
        self.outs = copied(self.outs)
        self.overwritten = f"{which} was overwritten at {by}"


def _kept(value: Any, copied: bool) -> Any:
    """An argument without its place in the graph."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone() if copied else value.detach()
    if isinstance(value, list | tuple):
        return [_kept(each, copied) for each in value]
    return value


def _by_path(given: Mapping[str, Any]) -> Iterator[tuple[Path, torch.Tensor]]:
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            yield (name, None), value
        elif isinstance(value, list | tuple):
            for i, each in enumerate(value):
                if isinstance(each, torch.Tensor):
                    yield (name, i), each


def _edge_of(tensor: torch.Tensor) -> tuple[Any, int]:
    """The target of a tensor's gradient: a node and an output's number, or the leaf itself."""
    return (tensor, 0) if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
