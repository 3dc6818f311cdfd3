"""Follow the ``.grad`` of the leaves through backward passes.

Only an accumulation may change it during a pass: what it holds afterwards is what it held before,
and what arrived.  A function or a hook that writes into it would otherwise stay unseen, as its own
gradient is right.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from .aten.tensors import is_plain, numbers
from .marks import names_of

__all__ = ["Accumulation", "Leaf", "checksum", "hooks_on"]


class State(NamedTuple):
    """Identity and version of the tensor ``.grad``; both are 0 if it is None."""

    identity: int
    version: int


class Leaf:
    """One leaf, and what is known of its ``.grad``.

    Attributes
    ----------
    state, checksum : those of ``.grad`` when it was looked at last.
    before : a copy of ``.grad`` before the accumulation that runs now.
    arrived : checksum of the gradient that is being accumulated.
    came : a copy of that gradient, if a hook that runs after the accumulation may change it.
    inside : how many accumulations run now, on several threads.
    overlapping : whether several did at once, so that nothing can be said.
    """

    def __init__(self, mark: Any, tensor: torch.Tensor) -> None:
        self.mark, self.tensor = mark, tensor
        self.before: torch.Tensor | None = None
        self.arrived = 0
        self.came: torch.Tensor | None = None
        self.inside, self.overlapping = 0, False
        self.note()

    def note(self) -> None:
        """Remember what ``.grad`` is now."""
        self.state, self.checksum = _state_of(self.tensor), checksum(self.tensor.grad)

    def has_changed(self, numbers_too: bool) -> bool:
        """Whether ``.grad`` is another than it was, also if it was written through ``.data``."""
        if _state_of(self.tensor) != self.state:
            return True
        return numbers_too and checksum(self.tensor.grad) != self.checksum

    @property
    def is_cleared(self) -> bool:
        """Whether ``.grad`` is None or zero."""
        grad = self.tensor.grad
        return grad is None or (is_plain(grad) and not bool(grad.any()))


class Accumulation:
    """Follows every leaf through the backward passes.

    Parameters
    ----------
    tell : called with a leaf whose ``.grad`` something else changed, what arrived last if it was
        accumulated, and what changed it, or "".
    """

    def __init__(self, tell: Callable[[Leaf, torch.Tensor | None, str], None]) -> None:
        self.tell = tell
        self.leaves: list[Leaf] = []
        self._passes = 0

    def add(self, leaf: Leaf) -> None:
        """Follow a leaf; one that has changed its dtype has another node, and is another one."""
        self.leaves = [other for other in self.leaves if other.tensor is not leaf.tensor]
        self.leaves.append(leaf)

    def begin(self) -> None:
        """A backward pass begins, maybe inside another or on another thread."""
        if self._passes == 0:
            for leaf in self.leaves:
                leaf.note()
        self._passes += 1

    def end(self, completed: bool) -> None:
        """A backward pass has ended."""
        self._passes -= 1
        if self._passes == 0 and completed:
            self.check("", numbers_too=True)

    def check(self, by: str, numbers_too: bool = False) -> None:
        """Tell of the leaves that were changed since the last look; `by` is what ran since then."""
        for leaf in self.leaves:
            self.check_one(leaf, by, numbers_too)

    def check_one(self, leaf: Leaf, by: str, numbers_too: bool = True) -> None:
        if leaf.inside or not leaf.has_changed(numbers_too):
            return
        leaf.note()
        # An optimizer that runs in a hook clears the gradients that it has used.
        if not (leaf.is_cleared and any(hooks_on(each.tensor) for each in self.leaves)):
            self.tell(leaf, None, by)

    def before(self, leaf: Leaf, arrived: torch.Tensor | None) -> None:
        """A gradient is about to be accumulated."""
        if leaf.inside == 0 and self._passes:
            self.check_one(leaf, "")
        leaf.inside += 1
        if leaf.inside > 1:
            leaf.overlapping = True
            return
        grad = leaf.tensor.grad
        leaf.before = None if grad is None else grad.detach().clone()
        leaf.arrived = checksum(arrived)
        if arrived is not None and getattr(leaf.tensor, "_post_accumulate_grad_hooks", None):
            leaf.came = arrived.detach().clone()

    def after(self, leaf: Leaf, got: torch.Tensor | None) -> None:
        """A gradient was accumulated."""
        leaf.inside -= 1
        if leaf.overlapping:
            leaf.overlapping = leaf.inside > 0
        elif got is None or leaf.tensor.grad is None:
            pass
        elif checksum(got) != leaf.arrived:  # .grad is what arrived, and was written into
            if not (leaf.is_cleared and hooks_on(leaf.tensor)):
                self.tell(leaf, leaf.came, "")
        elif not (hooks_on(leaf.tensor) and leaf.is_cleared and bool(got.any())):
            self.tell(leaf, got if leaf.came is None else leaf.came, "")
        leaf.before = leaf.came = None
        leaf.note()

    def noted(self) -> dict[int, int]:
        """The checksums of the gradients that passes left, by the id of the leaf; between passes.

        Those that it is not known of are left out.
        """
        if self._passes:
            return {}
        return {id(leaf.tensor): leaf.checksum for leaf in self.leaves if leaf.checksum}


def hooks_on(leaf: torch.Tensor) -> tuple[str, ...]:
    """Names of the hooks that run at a leaf, before and after the accumulation."""
    found = [
        hook
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks")
        for hook in (getattr(leaf, kind, None) or {}).values()
    ]
    return names_of(found)


def _state_of(leaf: torch.Tensor) -> State:
    grad = leaf.grad
    return State(0, 0) if grad is None else State(id(grad), grad._version)


def checksum(tensor: torch.Tensor | None) -> int:
    """A number that other numbers hardly have; 0 of what is not in plain memory."""
    if tensor is None or tensor.device.type != "cpu" or not is_plain(tensor):
        return 0
    array = np.ascontiguousarray(numbers(tensor)).reshape(-1)
    return zlib.crc32(array.view(np.uint8).data)
