"""Notes at the nodes of autograd: the name, and the gradients sent to each of its outputs."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from ....core.network.calls import Place
from .aten.tensors import is_plain

__all__ = ["Mark", "Marks", "Part", "names_of"]


class Part(NamedTuple):
    """A copy of a gradient that left for a value, through which node, and what it is a copy of.

    A tensor that shares its memory would keep the engine from adding to it in place, and so from
    the layout that the sum has without a recording; some kernels depend on the layout.

    Attributes
    ----------
    pointer, version : where the gradient lies, and how often it had been written into.
    hooks : names of the hooks on the node that it left, which run after it was seen.
    """

    gradient: torch.Tensor
    use: str
    version: int = 0
    pointer: int = 0
    hooks: tuple[str, ...] = ()


class Mark:
    """The notes at one node of autograd: its name, and the gradients sent to it in this pass.

    Attributes
    ----------
    came : whether what left for it last was seen.
    after : names of the hooks on the node itself, which may change what leaves it.
    hooks : those on the gradient of each of its outputs.
    """

    def __init__(self, place: Place, names: dict[int, str], leaf: bool = False) -> None:
        self.place, self.names, self.leaf = place, names, leaf
        self.task, self.came = -1, False
        self.parts: defaultdict[int, list[Part]] = defaultdict(list)
        self.hooks: dict[int, Mapping[int, Any]] = {}
        self.after: tuple[str, ...] = ()

    def name(self, slot: int) -> str:
        """The name of the value that an output of the node is."""
        return self.names.get(slot, self.place.node)

    def add(self, task: int, slot: int, gradient: torch.Tensor, by: Mark) -> None:
        """Note a gradient that has left another node for an output of this one."""
        if task != self.task:
            self.task = task
            self.parts.clear()
        plain = is_plain(gradient)
        pointer = gradient.data_ptr() if plain else 0
        kept = gradient.detach().clone() if plain else gradient.detach()
        part = Part(kept, by.place.node, gradient._version, pointer, by.after)
        self.parts[slot].append(part)

    def arrivals(self, task: int, slot: int) -> list[Part]:
        """Return and forget the gradients sent to one output in this pass."""
        return self.parts.pop(slot, []) if task == self.task else []

    def follow(self, slot: int, tensor: torch.Tensor) -> None:
        """Note the hooks on the gradient of a value: the tensor itself may be freed before."""
        if tensor._backward_hooks:
            self.hooks[slot] = tensor._backward_hooks  # it stays what it is if more are added

    def hooked(self, slot: int) -> tuple[str, ...]:
        """The names of the hooks on the gradient of a value."""
        return names_of(self.hooks.get(slot, {}).values())


class Marks:
    """The marks of one recording; of another, which runs too or has run, a node has others."""

    _made = itertools.count()

    def __init__(self) -> None:
        self._key = f"gradparity.{next(self._made)}"

    def of(self, node: Any) -> Mark | None:
        """The mark of a node of autograd; None if it has none."""
        return node.metadata.get(self._key)  # type: ignore[no-any-return]  # torch is not followed

    def set(self, node: Any, mark: Mark) -> None:
        """Give a node its mark."""
        node.metadata[self._key] = mark

    def take(self, node: Any) -> Mark:
        """Take the mark of a node away."""
        return node.metadata.pop(self._key)  # type: ignore[no-any-return]

    def name(self, node: Any, slot: int) -> str:
        """The name of the value that an output of a node is."""
        return node.metadata[self._key].name(slot)  # type: ignore[no-any-return]


def names_of(hooks: Iterable[Any]) -> tuple[str, ...]:
    """The qualified names of these hooks."""
    return tuple(getattr(hook, "__qualname__", type(hook).__name__) for hook in hooks)
