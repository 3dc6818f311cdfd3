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
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode,
    _pop_mode,
    _push_mode,
)

from ....core.network.calls import DATA, Listener, Place, Unjudged
from .aten.tensors import is_of_others, tensors_in
from .backward import Backward
from .functions import Function, name_and_op, wrapped_apply
from .leaves import named_leaves
from .marks import Mark, Marks, names_of
from .observed import Observed
from .optimizers import watched_steps
from .places import Names, source_line
from .preparations import preparation_of
from .quiet import Quiet, failed
from .states import States
from .views import index_of_view, is_written_view
from .waiting import Waiting
from .wrapped import wrapped_checkpoints, wrapped_hooks, wrapped_passes

__all__ = ["Observer", "observing"]

#: Ops that take a value out of the graph.
NO_GRADIENT = {"aten::detach", "aten::detach_"}
#: Why an op on a tensor that says itself what its ops do is not judged.
OTHERS = "tensors of a class with ops of its own, such as nested ones, are not judged"


class Observer(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
    """Tells a listener of every op that has a gradient, once its backward has run.

    Parameters
    ----------
    listener : told while the program runs.
    """

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener
        self.names = Names(self._returned, lambda *root: self.states.keep_module(*root))
        self.quiet = Quiet(listener, self.names)
        self.states = States(listener, self.quiet)
        self.marks = Marks()
        self._backward = Backward(listener, self.quiet, self.marks)
        self._pending: tuple[Observed, list[torch.Tensor]] | None = None
        self._waiting = Waiting()
        self._hooks: list[Any] = []
        self._leaves: list[Any] = []
        self._functions: list[Function] = []
        #: Whether a checkpoint computes its forward pass once more, inside of a backward pass.
        self._computes_again = False
        #: Of every pass that runs, whether the mode was taken off for it.
        self._stepped_aside: list[bool] = []
        self._forward_is_over = self.saw_ops = False
        #: Whether ops on what has no gradient are told; those before the first backward pass are.
        self._prepares = listener.keeps_states

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code compiles and runs as ever; it is one node."""
        return True

    @property
    def _in_a_pass(self) -> bool:
        """Whether what runs now is part of a backward pass, and no forward pass in one."""
        return torch._C._current_graph_task_id() != -1 and not self._computes_again

    # ---- forward --------------------------------------------------------------------------------

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.saw_ops |= not self.quiet.on
        if self.quiet.on or self._in_a_pass:
            return op(*args, **kwargs)
        differentiated = torch.is_grad_enabled() and not self._forward_is_over
        observed = None
        with self.quiet():
            self.settle()
        with self.quiet(op):
            observed = self._before(op, args, kwargs, differentiated)
        if self._functions and self._functions[-1].opened(op):
            return self._inside(op, args, kwargs)
        out = op(*args, **kwargs)
        if self._functions:
            with self.quiet(op):
                self._functions[-1].saw(op, Observed.arguments(op, args, kwargs), out)
        if observed is not None:
            with self.quiet(observed.place):
                self._after(observed, out)
        return out

    def _before(self, op: Any, args: Any, kwargs: Any, differentiated: bool) -> Observed | None:
        """Keep the inputs of an op that has a gradient; copy what an op is about to overwrite."""
        given = Observed.arguments(op, args, kwargs)
        tensors = list(tensors_in(list(given.values())))
        needs = differentiated and any(t.requires_grad for t in tensors)
        if any(map(is_of_others, tensors)):
            if needs:  # asked for its node while its own ops run, such a tensor may never return
                self.listener.not_judged(Unjudged(self._place(op), OTHERS))
            return None
        for name in Observed.written(op, given):
            for tensor in tensors_in(given.get(name)):
                self._waiting.overwritten(tensor, source_line())
        prepares = self._prepares and bool(tensors) and not needs
        if not (needs or prepares) or op._schema.name in NO_GRADIENT:
            return None
        if self._functions:
            return None  # inside a function with a backward of its own
        if prepares:
            return Observed(self._place(op, DATA), op, given, prepares=True)
        for tensor in tensors:
            self._adopt_graph(tensor.grad_fn)
        return Observed(self._place(op), op, given)

    def _place(self, op: Any, lead: str = "") -> Place:
        base = re.sub(r"(?<!_)_$", "", op._schema.name.removeprefix("aten::")).replace("::", "_")
        return Place(self.names.numbered(lead + base), str(op), self.names.module, source_line())

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
        if not observed.prepares:
            self._pending = (observed, outs)
        elif (call := preparation_of(observed)) is not None:
            self.listener.prepared(call)

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
            self.listener.not_judged(failed(observed.place, error))

    def _settle(self, observed: Observed, outs: list[torch.Tensor]) -> None:
        nodes = {t.grad_fn for t in outs if t.grad_fn is not None}
        if len(nodes) != 1:
            return  # not differentiable, or inside a function with a backward of its own
        (node,) = nodes
        if self.marks.of(node) is not None:
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
        observed.connected(node, outs, self.marks.name)
        mark = Mark(observed.place, names)
        for slot, tensor in slots.items():
            mark.follow(slot, tensor)
        self._hook(observed, node, mark)

    def _hook(self, observed: Observed, node: Any, mark: Mark) -> None:
        self.marks.set(node, mark)
        self._hooks.append(node.register_hook(self._backward.hook_of_op(observed, mark)))
        self._waiting.add(observed)

    def _connect_view(self, observed: Observed, view: torch.Tensor) -> None:
        """Hook both nodes of an op that wrote into a view: of its base, and of the new view."""
        base = view._base
        assert base is not None
        node = base.grad_fn
        if self.marks.of(node) is None:
            for target, _ in node.next_functions:
                self._adopt_graph(target)
            observed.within(node, base, index_of_view(view, base), self.marks.name)
            self._hook(observed, node, Mark(observed.place, {}))
        place = Place(self.names.numbered("view"), "view", observed.place.module, "")
        again = Observed.of_view(place, observed.op, view, base, self.marks.name(node, 0))
        self._hook(again, view.grad_fn, Mark(place, {}))

    def applied(self, apply: Any, kind: Any, args: Any, kwargs: Any) -> Any:
        """Watch a function with a backward of its own; see `Function`."""
        inside = self.quiet.on or self._functions or self._in_a_pass
        if inside or self._forward_is_over or not torch.is_grad_enabled():
            return apply(*args, **kwargs)
        function = None
        with self.quiet():
            self.settle()
        with self.quiet(name_and_op(kind)[1]):
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
        with self.quiet(function.place):
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
        observed = function.observed(node, outs, self.marks.name)
        self._hooks.append(node.register_prehook(self._backward.hook_before_function(function)))
        names = {} if len(outs) == 1 else {
            t.output_nr: f"{function.place.node}.{t.output_nr}" for t in outs
        }  # fmt: skip
        self._hook(observed, node, Mark(function.place, names))

    # ---- nodes that the mode did not see made ---------------------------------------------------

    def _adopt_graph(self, node: Any) -> None:
        """Hook a node that is not known, and those behind it."""
        todo = [node]
        while todo:
            node = todo.pop()
            if node is None or self.marks.of(node) is not None:
                continue
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                mark = Mark(Place(self.names.of_leaf(leaf)), {}, leaf=True)
                self._leaves.append(node)
                self._hooks += self._backward.hooks_of_leaf(node, mark, leaf)
            else:
                function = re.sub(r"Backward\d*$", "", node.name())
                place = Place(self.names.numbered(function), node.name(), self.names.module)
                mark = Mark(place, {})
                hook = self._backward.hook_of_unknown(mark, node.name(), node.next_functions)
                self._hooks.append(node.register_hook(hook))
                todo += [target for target, _ in node.next_functions]
            self.marks.set(node, mark)

    def registered(self, tensor: torch.Tensor) -> None:
        """A hook was registered on the gradient of a tensor, which may be freed before it runs."""
        if self.quiet.on or tensor.grad_fn is None:
            return
        with self.quiet():
            self.settle()
            mark = self.marks.of(tensor.grad_fn)
            if mark is not None:
                mark.follow(tensor.output_nr, tensor)

    def registered_at(self, node: Any, hooks: Iterable[Any]) -> None:
        """Hooks of a module were registered on a node that was made for them."""
        with self.quiet():
            mark = self.marks.of(node)
            if mark is not None:
                mark.after += names_of(hooks)

    def _returned(self, module: torch.nn.Module, output: Any) -> None:
        """A module has returned; its hooks of the old kind go to the node of its output."""
        if not module._backward_hooks or module._is_full_backward_hook:
            return
        with self.quiet():
            self.settle()
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None:
                self.registered_at(tensor.grad_fn, module._backward_hooks.values())
            break

    # ---- passes ---------------------------------------------------------------------------------

    def begin_pass(self, outputs: Iterable[torch.Tensor]) -> None:
        """A backward pass begins: nothing of it is seen but through hooks.

        While a mode is there, autograd adds gradients up out of place, in other layouts.
        """
        self._prepares = False
        with self.quiet():
            self.settle()
            self._backward.tell_of_thread(outputs, source_line())
            self._backward.gradients.begin()
            left = self._waiting.left()
            self.listener.expected(sum(t.numel() for each in left for t in each.tensors()))
        self._stepped_aside.append(_get_current_dispatch_mode() is self)
        if self._stepped_aside[-1]:
            _pop_mode()

    def transformed(self) -> None:
        """A transform of `torch.func` runs a backward pass of its own."""
        with self.quiet():
            self._backward.tell_of_transform(source_line())

    def end_pass(self, completed: bool) -> None:
        """A backward pass has ended."""
        if self._stepped_aside.pop():
            _push_mode(self)
        with self.quiet():
            self._backward.gradients.end(completed)

    @contextlib.contextmanager
    def computing_again(self) -> Iterator[None]:
        """A reentrant checkpoint computes its forward pass again, and makes a pass of its own."""
        before, self._computes_again = self._computes_again, True
        _push_mode(self)
        try:
            yield
        finally:
            _pop_mode()
            self._computes_again = before

    def gradients_left_by_passes(self) -> dict[int, int]:
        """Checksums of the gradients that the last pass left, by the id of the leaf."""
        return self._backward.gradients.noted()

    # ---- the end --------------------------------------------------------------------------------

    def end_forward(self) -> None:
        """Ops that run from now on are those of another step; what they overwrite is still seen."""
        self._forward_is_over = True

    def finish(self) -> None:
        """Tell of the ops that no backward has reached, and leave the program as it was."""
        with self.quiet():
            self.settle()
            for observed in self._waiting.left():
                self._backward.tell_of_unused(observed)
            self.states.tell()
        for hook in self._hooks:
            hook.remove()
        for mark in [self.marks.take(node) for node in self._leaves]:
            with self.quiet(mark.place):
                self._backward.tell_of_captured(mark)


@contextlib.contextmanager
def observing(
    listener: Listener,
    leaves: Mapping[str, torch.Tensor] | None = None,
    args: tuple[Any, ...] = (),
) -> Iterator[Observer]:
    """Tell a listener of every op of the PyTorch code that runs inside.

    Everything is left as it was, also if the code raises.

    Parameters
    ----------
    leaves : names of tensors; others that are not in `args` are "input_1", "input_2", ....
    args : what the code is given, of which it may change modules and tensors.
    """
    observer = Observer(listener)
    observer.states.keep_arguments(args)
    for name, leaf in {**named_leaves(args), **(leaves or {})}.items():
        observer.names.name(leaf, name)
    observer.names.open()
    try:
        with (
            wrapped_apply(observer.applied),
            wrapped_hooks(observer.registered, observer.registered_at),
            wrapped_passes(observer.begin_pass, observer.end_pass, observer.transformed),
            wrapped_checkpoints(observer.computing_again),
            watched_steps(
                listener, observer.names, observer.quiet, observer.gradients_left_by_passes
            ),
            observer,
        ):
            yield observer
    finally:
        observer.names.close()
        observer.finish()
