"""Hooks that observe a backward pass and report it to a listener.

The hook of a node is given the gradient that arrived at it and the one that left through each of
its edges.  Every gradient that arrives anywhere is held to the sum of those that left for there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ....core.network.calls import Listener, Place, Sum, Unjudged
from .accumulation import Accumulation, Leaf, hooks_on
from .aten.tensors import format_of, is_freed, is_plain, numbers, tensors_in
from .calls import call_of
from .functions import Function
from .marks import Mark, Marks, Part
from .observed import Observed
from .quiet import Quiet, failed

__all__ = ["Backward"]

#: Why the backward pass of a transform is not judged.
TRANSFORMED = (
    "torch.func.grad, vjp and jacrev run a backward pass of their own, which is not watched; to "
    "have it judged, call backward() or torch.autograd.grad instead"
)
#: Why a backward pass on another thread is not judged.
ELSEWHERE = (
    "this backward pass and its forward pass ran on another thread than the one that record() "
    "watches; to have them judged, open record() on that thread"
)
#: Why what ``.grad`` holds is not judged where several processes train one model.
AVERAGED = "it averages the gradients over processes after they have arrived"


class Backward:
    """Makes the hooks of nodes, and tells a listener of what they see.

    Parameters
    ----------
    listener : told while the program runs.
    quiet : runs what is not part of the program.
    marks : of the nodes that have hooks.
    """

    def __init__(self, listener: Listener, quiet: Quiet, marks: Marks) -> None:
        self.listener, self._quiet, self._marks = listener, quiet, marks
        self.gradients = Accumulation(self._tell_of_leaf)
        self._thread = threading.get_ident()

    # ---- hooks ----------------------------------------------------------------------------------

    def hook_of_op(self, observed: Observed, mark: Mark) -> Callable[..., None]:
        """The hook of a node that an op was seen to make."""

        def seen(left: Any, arrived: Any) -> None:
            with self._quiet(mark.place):
                task = torch._C._current_graph_task_id()
                if observed.function is not None:
                    self.gradients.check(f"the backward of {mark.place.node}")
                self._arrived(mark, task, arrived)
                asked = self._left(observed.targets, task, left, mark)
                self._tell(observed, left, arrived, asked)

        return seen

    def hook_before_function(self, function: Function) -> Callable[[Any], None]:
        """The hook before the backward of a function."""

        def arrived(gradients: Any) -> None:
            with self._quiet(function.place):
                self.gradients.check("")  # what was written before is not blamed on it
                function.arrived(gradients)

        return arrived

    def hook_of_unknown(self, mark: Mark, name: str, targets: Any) -> Callable[..., None]:
        """The hook of a node that no op was seen to make."""

        def seen(left: Any, arrived: Any) -> None:
            with self._quiet(mark.place):
                task = torch._C._current_graph_task_id()
                self._arrived(mark, task, arrived)
                self._left(targets, task, left, mark)
                self.listener.not_judged(Unjudged(mark.place, _why_unknown(name)))

        return seen

    def hooks_of_leaf(self, node: Any, mark: Mark, leaf: torch.Tensor) -> list[Any]:
        """Hook the node that accumulates the gradient of a leaf, before and after."""
        own = Leaf(mark, leaf)
        self.gradients.add(own)

        def about(arrived: Any) -> None:
            with self._quiet(mark.place):
                mark.hooks[0] = leaf._backward_hooks or {}
                self.gradients.before(own, arrived[0])
                self._arrived(mark, torch._C._current_graph_task_id(), arrived)
                if arrived[0] is not None and not mark.came:
                    why = "its gradient came from an op that was not seen, such as a checkpoint"
                    self.listener.not_judged(Unjudged(mark.place, why))

        def seen(left: Any, arrived: Any) -> None:
            with self._quiet(mark.place):
                self.gradients.after(own, arrived[0])

        return [node.register_prehook(about), node.register_hook(seen)]

    # ---- what they see --------------------------------------------------------------------------

    def _left(self, targets: Any, task: int, left: Any, by: Mark) -> list[bool]:
        """Note what left through each edge; and whether it was asked for."""
        asked = []
        for (target, slot), gradient in zip(targets, left, strict=True):
            asked.append(target is not None and _is_asked(target))
            if target is not None and gradient is not None:
                mark = self._marks.of(target)
                if mark is not None:
                    mark.add(task, slot, gradient, by)
        return asked

    def _arrived(self, mark: Mark, task: int, arrived: Any) -> None:
        """Hold the gradients that arrived to the sums of those that left for there."""
        for slot, got in enumerate(arrived):
            parts = mark.arrivals(task, slot)
            mark.came = bool(parts)
            if got is not None and parts:
                self._tell_of_sum(mark, slot, got, parts)

    # ---- what is told of it ---------------------------------------------------------------------

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
            found = failed(observed.place, error, tuple(observed.sources.values()))
        self.listener.not_judged(found)

    def tell_of_unused(self, observed: Observed) -> None:
        """Tell of an op that no backward has reached."""
        nothing: list[None] = [None] * len(observed.targets)
        self._tell(observed, nothing, [], [False] * len(nothing))

    def tell_of_transform(self, source: str) -> None:
        """Report the backward pass of a transform, at a line of the user's code."""
        self._not_seen("func", "torch.func", source, TRANSFORMED)

    def tell_of_thread(self, outputs: Iterable[torch.Tensor], source: str) -> None:
        """Report a backward pass on another thread, if its forward pass was not seen."""
        nodes = [t.grad_fn for t in tensors_in(list(outputs)) if t.grad_fn is not None]
        seen = any(self._marks.of(node) is not None for node in nodes)
        if nodes and not seen and threading.get_ident() != self._thread:
            self._not_seen("backward", "backward", source, ELSEWHERE)

    def _not_seen(self, name: str, function: str, source: str, why: str) -> None:
        names = self._quiet.names
        place = Place(names.numbered(name), function, names.module, source)
        self.listener.not_judged(Unjudged(place, why))

    def tell_of_captured(self, mark: Mark) -> None:
        """Report gradients that `torch.autograd.grad` returned instead of accumulating them."""
        for slot, parts in mark.parts.items():
            if len(parts) == 1:
                self._tell_of_sum(mark, slot, parts[0].gradient, parts)
            else:
                uses = ", ".join(part.use for part in parts)
                why = f"the sum of what left {uses} was returned, and is not seen"
                self.listener.not_judged(Unjudged(mark.place, why))

    def _tell_of_leaf(self, leaf: Leaf, got: torch.Tensor | None, by: str) -> None:
        """Tell of what ``.grad`` holds; `got` was accumulated, or something else has written it."""
        grad = leaf.tensor.grad
        wrapper = self._quiet.names.averaged.get(id(leaf.tensor), "")
        if not wrapper and is_freed(leaf.tensor):
            wrapper = "fully_shard"
        if wrapper:
            self.listener.step_not_judged(Unjudged(Place(wrapper, wrapper), AVERAGED))
            return
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
        if not all(is_plain(t) or t.layout is torch.sparse_coo for t in (got, *gradients)):
            return
        here = got.data_ptr() if is_plain(got) else None
        written = leaf is None and any(
            p.pointer == here and p.version != got._version for p in parts if len(parts) == 1
        )
        if leaf is not None:
            hooks = hooks_on(leaf.tensor)
        else:
            hooks = (*dict.fromkeys(h for p in parts for h in p.hooks), *mark.hooked(slot))
        self.listener.summed(
            Sum(
                mark.place,
                mark.name(slot),
                tuple(map(numbers, gradients)),
                tuple(part.use for part in parts),
                numbers(got),
                format_of(got, *gradients),
                mark.leaf and leaf is None,
                hooks,
                written or bool(writer),
                leaf is not None,
                writer,
            )
        )


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
