"""Watch an eager PyTorch run: nothing is inserted into the program.

A dispatch mode sees every op below autograd: exactly the op that autograd has a derivative formula
for.  Autograd then gives the output its node, which gets a hook; the hook is given the gradient
that arrived at the node and the one that left through each of its edges.  A node that the mode did
not see made, such as that of a function with a backward of its own, gets one too, so that every
gradient that arrives anywhere can be held to the sum of those that left for there.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode,
    _pop_mode,
    _push_mode,
)

from ....core.network.calls import Listener, Place, Sum, Unjudged
from .accumulation import Accumulation, Leaf, hooks_on
from .aten.tensors import format_of, is_plain, memory_of, numbers, tensors_in
from .calls import call_of
from .functions import Function, name_and_op, wrapped_apply
from .observed import Observed
from .places import Names, source_line
from .views import index_of_view, is_written_view
from .wrapped import wrapped_hooks, wrapped_passes

__all__ = ["Observer", "observing"]

#: Where a node of autograd keeps what is known of it.
KEY = "gradparity"
#: Ops that take a value out of the graph.
NO_GRADIENT = {"aten::detach", "aten::detach_"}


class Part(NamedTuple):
    """A copy of a gradient that left for a value, through which node, and what it is a copy of.

    A tensor that shares its memory would keep the engine from adding to it in place, and so from
    the layout that the sum has without a recording; some kernels depend on the layout.

    Attributes
    ----------
    pointer, version : where the gradient lies, and how often it had been written into.
    """

    gradient: torch.Tensor
    use: str
    version: int = 0
    pointer: int = 0


class Mark:
    """What is known of a node of autograd: its name, and what has left for it in a pass."""

    def __init__(self, place: Place, names: dict[int, str], leaf: bool = False) -> None:
        self.place, self.names, self.leaf = place, names, leaf
        self.task, self.came = -1, False
        self.parts: defaultdict[int, list[Part]] = defaultdict(list)
        self.hooks: dict[int, Mapping[int, Any]] = {}

    def name(self, slot: int) -> str:
        """The name of the value that an output of the node is."""
        return self.names.get(slot, self.place.node)

    def add(self, task: int, slot: int, gradient: torch.Tensor, use: str) -> None:
        if task != self.task:
            self.task = task
            self.parts.clear()
        plain = is_plain(gradient)
        pointer = gradient.data_ptr() if plain else 0
        kept = gradient.detach().clone() if plain else gradient.detach()
        self.parts[slot].append(Part(kept, use, gradient._version, pointer))

    def arrivals(self, task: int, slot: int) -> list[Part]:
        """What has left for an output in this pass; it is handed out once."""
        return self.parts.pop(slot, []) if task == self.task else []

    def follow(self, slot: int, tensor: torch.Tensor) -> None:
        """Note the hooks on the gradient of a value: the tensor itself may be freed before."""
        if tensor._backward_hooks:
            self.hooks[slot] = tensor._backward_hooks  # it stays what it is if more are added

    def hooked(self, slot: int) -> tuple[str, ...]:
        """The names of the hooks on the gradient of a value."""
        hooks = self.hooks.get(slot, {}).values()
        return tuple(getattr(hook, "__qualname__", type(hook).__name__) for hook in hooks)


class Observer(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
    """Tells a listener of every op that has a gradient, once its backward has run.

    Parameters
    ----------
    listener : told while the program runs.
    """

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener, self.names = listener, Names()
        self._pending: tuple[Observed, list[torch.Tensor]] | None = None
        self._unused: list[weakref.ref[Observed]] = []
        self._holders: defaultdict[int, list[weakref.ref[Observed]]] = defaultdict(list)
        self._hooks: list[Any] = []
        self._leaves: list[Any] = []
        self._functions: list[Function] = []
        self._gradients = Accumulation(self._tell_of_leaf)
        self._own = False
        #: Of every pass that runs, whether the mode was taken off for it.
        self._stepped_aside: list[bool] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code compiles and runs as ever; it is one node."""
        return True

    # ---- forward --------------------------------------------------------------------------------

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._own or torch._C._current_graph_task_id() != -1:
            return op(*args, **kwargs)
        differentiated = torch.is_grad_enabled()
        observed = None
        with self._quietly():
            self.settle()
        with self._quietly(op):
            observed = self._before(op, args, kwargs, differentiated)
        if self._functions and self._functions[-1].opened(op):
            return self._inside(op, args, kwargs)
        out = op(*args, **kwargs)
        if self._functions:
            with self._quietly(op):
                self._functions[-1].saw(op, Observed.arguments(op, args, kwargs), out)
        if observed is not None:
            with self._quietly(observed.place):
                self._after(observed, out)
        return out

    @contextlib.contextmanager
    def _quietly(self, what: Any = "") -> Iterator[None]:
        """What runs inside is ours: it is not watched, and the program does not see its errors.

        Parameters
        ----------
        what : the op or the place that is not judged if it raises an error.
        """
        before, self._own = self._own, True
        try:
            with _disable_current_modes(), torch.no_grad():
                yield
        except Exception as error:
            if not isinstance(what, Place):
                what = Place(self.names.numbered("unseen"), str(what), self.names.module)
            self.listener.not_judged(_failed(what, error))
        finally:
            self._own = before

    def _before(self, op: Any, args: Any, kwargs: Any, differentiated: bool) -> Observed | None:
        """Keep the inputs of an op that has a gradient; copy what an op is about to overwrite."""
        given = Observed.arguments(op, args, kwargs)
        for name in Observed.written(op):
            for tensor in tensors_in(given.get(name)):
                self._copy_holders(tensor, source_line())
        needs = any(t.requires_grad for t in tensors_in(list(given.values())))
        if not needs or not differentiated or op._schema.name in NO_GRADIENT:
            return None
        if self._functions:
            return None  # inside a function with a backward of its own
        for tensor in tensors_in(list(given.values())):
            self._adopt_graph(tensor.grad_fn)
        base = re.sub(r"(?<!_)_$", "", op._schema.name.removeprefix("aten::")).replace("::", "_")
        place = Place(self.names.numbered(base), str(op), self.names.module, source_line())
        return Observed(place, op, given)

    def _inside(self, op: Any, args: Any, kwargs: Any) -> Any:
        """Run the kernel of an op of another library, and watch the ops inside of it."""
        tensors = list(tensors_in([*args, *kwargs.values()]))
        key = {"cpu": "CPU", "cuda": "CUDA"}.get(tensors[0].device.type) if tensors else None
        computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
        if key is None or not computed(op.name(), key):
            return op(*args, **kwargs)
        with self:
            keys = torch._C.DispatchKeySet(torch._C._dispatch_key_parse(key))
            return op.redispatch(keys, *args, **kwargs)

    def _after(self, observed: Observed, out: Any) -> None:
        outs = list(tensors_in(out))
        observed.returned(out)
        self._pending = (observed, outs)

    def settle(self) -> None:
        """Hook the node that autograd has given the outputs of the last op by now."""
        if self._pending is None:
            return
        observed, outs = self._pending
        self._pending = None
        try:
            self._settle(observed, outs)
        except Exception as error:
            observed.done = True
            self.listener.not_judged(_failed(observed.place, error))

    def _settle(self, observed: Observed, outs: list[torch.Tensor]) -> None:
        nodes = {t.grad_fn for t in outs if t.grad_fn is not None}
        if len(nodes) != 1:
            return  # not differentiable, or inside a function with a backward of its own
        (node,) = nodes
        if KEY in node.metadata:
            return
        if observed.is_formula_of(node.name()):
            self._connect(observed, node, outs)
        elif is_written_view(outs[0]):
            self._connect_view(observed, outs[0])
        else:
            self._adopt_graph(node)

    def _connect(self, observed: Observed, node: Any, outs: list[torch.Tensor]) -> None:
        """Hook a node whose formula is that of this op."""
        slots = {t.output_nr: t for t in outs if t.grad_fn is node}
        one = len(slots) == 1
        names = {k: observed.place.node if one else f"{observed.place.node}.{k}" for k in slots}
        for target, _ in node.next_functions:
            self._adopt_graph(target)
        observed.connected(node, outs, lambda target, slot: target.metadata[KEY].name(slot))
        mark = Mark(observed.place, names)
        for slot, tensor in slots.items():
            mark.follow(slot, tensor)
        self._hook(observed, node, mark)

    def _hook(self, observed: Observed, node: Any, mark: Mark) -> None:
        node.metadata[KEY] = mark
        self._hooks.append(node.register_hook(self._seen_by(observed, mark)))
        self._unused.append(weakref.ref(observed))
        for tensor in observed.tensors():
            self._holders[memory_of(tensor)].append(weakref.ref(observed))

    def _connect_view(self, observed: Observed, view: torch.Tensor) -> None:
        """Hook both nodes of an op that wrote into a view: of its base, and of the new view."""
        base = view._base
        assert base is not None
        node = base.grad_fn
        if KEY not in node.metadata:
            for target, _ in node.next_functions:
                self._adopt_graph(target)
            observed.within(node, base, index_of_view(view, base),
                            lambda target, slot: target.metadata[KEY].name(slot))  # fmt: skip
            self._hook(observed, node, Mark(observed.place, {}))
        place = Place(self.names.numbered("view"), "view", observed.place.module, "")
        again = Observed.of_view(place, observed.op, view, base, node.metadata[KEY].name(0))
        self._hook(again, view.grad_fn, Mark(place, {}))

    def _copy_holders(self, tensor: torch.Tensor, by: str) -> None:
        """Give a copy to all that hold this storage, which is about to be overwritten."""
        memory = memory_of(tensor)
        if not memory:
            return
        for ref in self._holders.pop(memory, []):
            observed = ref()
            if observed is not None:
                observed.copy_storage(memory, by)

    def applied(self, apply: Any, kind: Any, args: Any, kwargs: Any) -> Any:
        """Watch a function with a backward of its own; see `Function`."""
        inside = self._own or self._functions or torch._C._current_graph_task_id() != -1
        if inside or not torch.is_grad_enabled():
            return apply(*args, **kwargs)
        function = None
        with self._quietly():
            self.settle()
        with self._quietly(name_and_op(kind)[1]):
            tensors = list(tensors_in([*args, *kwargs.values()]))
            if any(t.requires_grad for t in tensors):
                for t in tensors:
                    self._adopt_graph(t.grad_fn)
                name, own = name_and_op(kind)
                place = Place(self.names.numbered(name), own, self.names.module, source_line())
                function = Function(place, kind, args, kwargs)
        if function is None:
            return apply(*args, **kwargs)
        self._functions.append(function)
        try:
            out = apply(*args, **kwargs)
        finally:
            self._functions.pop()
        with self._quietly(function.place):
            self._connect_function(function, out)
        return out

    def _connect_function(self, function: Function, out: Any) -> None:
        outs = function.ended(out)
        nodes = {t.grad_fn for t in outs if t.grad_fn is not None}
        if len(nodes) != 1:
            return
        (node,) = nodes
        for target, _ in node.next_functions:
            self._adopt_graph(target)
        observed = function.observed(node, outs, lambda t, slot: t.metadata[KEY].name(slot))
        self._hooks.append(node.register_prehook(self._before_function(function)))
        names = {} if len(outs) == 1 else {
            t.output_nr: f"{function.place.node}.{t.output_nr}" for t in outs
        }  # fmt: skip
        self._hook(observed, node, Mark(function.place, names))

    def _before_function(self, function: Function) -> Callable[[Any], None]:
        """The hook before the backward of a function."""

        def arrived(gradients: Any) -> None:
            with self._quietly(function.place):
                self._gradients.check("")  # what was written before is not blamed on it
                function.arrived(gradients)

        return arrived

    # ---- nodes that the mode did not see made ---------------------------------------------------

    def _adopt_graph(self, node: Any) -> None:
        """Hook a node that is not known, and those behind it."""
        todo = [node]
        while todo:
            node = todo.pop()
            if node is None or KEY in node.metadata:
                continue
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                mark = Mark(Place(self.names.of_leaf(leaf)), {}, leaf=True)
                self._leaves.append(node)
                self._hooks += self._hooks_of_leaf(node, mark, leaf)
            else:
                function = re.sub(r"Backward\d*$", "", node.name())
                place = Place(self.names.numbered(function), node.name(), self.names.module)
                mark = Mark(place, {})
                hook = self._unknown_seen_by(mark, node.name(), node.next_functions)
                self._hooks.append(node.register_hook(hook))
                todo += [target for target, _ in node.next_functions]
            node.metadata[KEY] = mark

    def registered(self, tensor: torch.Tensor) -> None:
        """A hook was registered on the gradient of a tensor, which may be freed before it runs."""
        if self._own or tensor.grad_fn is None:
            return
        with self._quietly():
            self.settle()
            mark = tensor.grad_fn.metadata.get(KEY)
            if mark is not None:
                mark.follow(tensor.output_nr, tensor)

    # ---- backward -------------------------------------------------------------------------------

    def _seen_by(self, observed: Observed, mark: Mark) -> Callable[..., None]:
        """The hook of a node that an op was seen to make."""

        def seen(left: Any, arrived: Any) -> None:
            with self._quietly(mark.place):
                task = torch._C._current_graph_task_id()
                if observed.function is not None:
                    self._gradients.check(f"the backward of {mark.place.node}")
                self._arrived(mark, task, arrived)
                asked = self._left(observed.targets, task, left, mark.place.node)
                self._tell(observed, left, arrived, asked)

        return seen

    def _tell(self, observed: Observed, left: Any, arrived: Any, asked: list[bool]) -> None:
        """Tell the listener of an op; a fault of this package must not end the user's program."""
        observed.done = True
        try:
            if observed.function is not None:
                arrived = observed.function.as_it_arrived(arrived)
            found = call_of(observed, left, arrived, asked)
            if not isinstance(found, Unjudged):
                self.listener.called(found)
                return
        except Exception as error:
            found = _failed(observed.place, error, tuple(observed.sources.values()))
        self.listener.not_judged(found)

    def _unknown_seen_by(self, mark: Mark, name: str, targets: Any) -> Callable[..., None]:
        """The hook of a node that no op was seen to make."""

        def seen(left: Any, arrived: Any) -> None:
            with self._quietly(mark.place):
                task = torch._C._current_graph_task_id()
                self._arrived(mark, task, arrived)
                self._left(targets, task, left, mark.place.node)
                self.listener.not_judged(Unjudged(mark.place, _why_unknown(name)))

        return seen

    def _hooks_of_leaf(self, node: Any, mark: Mark, leaf: torch.Tensor) -> list[Any]:
        """The hooks before and after a gradient is accumulated in a leaf."""
        own = Leaf(mark, leaf)
        self._gradients.add(own)

        def about(arrived: Any) -> None:
            with self._quietly(mark.place):
                mark.hooks[0] = leaf._backward_hooks or {}
                self._gradients.before(own, arrived[0])
                self._arrived(mark, torch._C._current_graph_task_id(), arrived)
                if arrived[0] is not None and not mark.came:
                    why = "its gradient came from an op that was not seen, such as a checkpoint"
                    self.listener.not_judged(Unjudged(mark.place, why))

        def seen(left: Any, arrived: Any) -> None:
            with self._quietly(mark.place):
                self._gradients.after(own, arrived[0])

        return [node.register_prehook(about), node.register_hook(seen)]

    def _tell_of_leaf(self, leaf: Leaf, got: torch.Tensor | None, by: str) -> None:
        """Tell of what ``.grad`` holds; `got` was accumulated, or something else has written it."""
        grad = leaf.tensor.grad
        if got is None:
            held = torch.zeros_like(leaf.tensor) if grad is None else grad
            there = [Part(held.detach(), ".grad")]
            self._tell_of_sum(leaf.mark, 0, held.detach(), there, leaf, by or "something")
            return
        assert grad is not None
        got = got.detach().to(grad.dtype)
        there = [Part(got, "this pass")]
        if leaf.before is not None:
            there.insert(0, Part(leaf.before, ".grad"))
        elif not is_plain(grad) or _are_equal(grad, got):
            return
        self._tell_of_sum(leaf.mark, 0, grad.detach(), there, leaf)

    def begin_pass(self) -> None:
        """A backward pass begins: nothing of it is seen but through hooks.

        While a mode is there, autograd adds gradients up out of place, in other layouts.
        """
        with self._quietly():
            self.settle()
            self._gradients.begin()
        self._stepped_aside.append(_get_current_dispatch_mode() is self)
        if self._stepped_aside[-1]:
            _pop_mode()

    def end_pass(self, completed: bool) -> None:
        """A backward pass has ended."""
        if self._stepped_aside.pop():
            _push_mode(self)
        with self._quietly():
            self._gradients.end(completed)

    def _left(self, targets: Any, task: int, left: Any, use: str) -> list[bool]:
        """Note what left through each edge; and whether it was asked for."""
        asked = []
        for (target, slot), gradient in zip(targets, left, strict=True):
            asked.append(target is not None and _is_asked(target))
            if target is not None and gradient is not None and KEY in target.metadata:
                target.metadata[KEY].add(task, slot, gradient, use)
        return asked

    def _arrived(self, mark: Mark, task: int, arrived: Any) -> None:
        """Hold the gradients that arrived to the sums of those that left for there."""
        for slot, got in enumerate(arrived):
            parts = mark.arrivals(task, slot)
            mark.came = bool(parts)
            if got is not None and parts:
                self._tell_of_sum(mark, slot, got, parts)

    def _tell_of_sum(
        self,
        mark: Mark,
        slot: int,
        got: torch.Tensor,
        parts: list[Part],
        leaf: Leaf | None = None,
        writer: str = "",
    ) -> None:
        """Tell of a sum that arrived or, with a leaf, of what its ``.grad`` holds."""
        gradients = [part.gradient for part in parts]
        if not all(map(is_plain, (got, *gradients))):
            return
        here = got.data_ptr()
        written = leaf is None and any(
            p.pointer == here and p.version != got._version for p in parts if len(parts) == 1
        )
        self.listener.summed(
            Sum(
                mark.place,
                mark.name(slot),
                tuple(map(numbers, gradients)),
                tuple(part.use for part in parts),
                numbers(got),
                format_of(got, *gradients),
                mark.leaf and leaf is None,
                mark.hooked(slot) if leaf is None else hooks_on(leaf.tensor),
                written or bool(writer),
                leaf is not None,
                writer,
            )
        )

    # ---- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Tell of the ops that no backward has reached, and leave the program as it was."""
        with self._quietly():
            self.settle()
            for ref in self._unused:
                observed = ref()
                if observed is not None and not observed.done:
                    self._tell_of_unused(observed)
        for hook in self._hooks:
            hook.remove()
        for mark in [node.metadata.pop(KEY) for node in self._leaves]:
            with self._quietly(mark.place):
                self._tell_of_captured(mark)

    def _tell_of_captured(self, mark: Mark) -> None:
        """What left for a leaf and never arrived: `torch.autograd.grad` has returned it."""
        for slot, parts in mark.parts.items():
            if len(parts) == 1:
                self._tell_of_sum(mark, slot, parts[0].gradient, parts)
            else:
                uses = ", ".join(part.use for part in parts)
                why = f"the sum of what left {uses} was returned, and is not seen"
                self.listener.not_judged(Unjudged(mark.place, why))

    def _tell_of_unused(self, observed: Observed) -> None:
        nothing: list[None] = [None] * len(observed.targets)
        self._tell(observed, nothing, [], [False] * len(nothing))


def _failed(place: Place, error: Exception, sources: tuple[str, ...] = ()) -> Unjudged:
    """A node that an error of this package keeps from being judged."""
    said = str(error).partition("\n")[0][:200]
    return Unjudged(place, f"{type(error).__name__} in gradparity: {said}", sources, failed=True)


def _why_unknown(node: str) -> str:
    if "BackwardBackward" in node:
        return f"{node}: the derivative of a backward pass (double backward) is not judged"
    return (
        f"{node} was not seen as one op: it was made before the recording, in a backward pass, or "
        "by compiled code"
    )


def _are_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether all numbers are the same, NaN among them."""
    return bool(torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num()))


def _is_asked(node: Any) -> bool:
    """Whether the backward pass that runs now computes the gradient that goes to this node."""
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # it is an input of `torch.autograd.grad`, whose gradient is captured
        return True


@contextlib.contextmanager
def observing(
    listener: Listener, leaves: Mapping[str, torch.Tensor] | None = None
) -> Iterator[None]:
    """Tell a listener of every op of the PyTorch code that runs inside.

    Everything is left as it was, also if the code raises.

    Parameters
    ----------
    leaves : names of tensors; others are "input_1", "input_2", ....
    """
    observer = Observer(listener)
    for name, leaf in (leaves or {}).items():
        observer.names.name(leaf, name)
    observer.names.open()
    try:
        with (
            wrapped_apply(observer.applied),
            wrapped_hooks(observer.registered),
            wrapped_passes(observer.begin_pass, observer.end_pass),
            observer,
        ):
            yield
    finally:
        observer.names.close()
        observer.finish()
