"""The ops whose backward has not run yet, and the tensors that they hold until then."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterator

import torch

from .aten.tensors import memory_of
from .observed import Observed

__all__ = ["Waiting"]


class Waiting:
    """Ops that wait for their backward; those that the program frees are forgotten."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Observed]] = []
        self._by_memory: defaultdict[int, list[weakref.ref[Observed]]] = defaultdict(list)

    def add(self, observed: Observed) -> None:
        """Wait for an op."""
        self._all.append(weakref.ref(observed))
        for tensor in observed.tensors():
            self._by_memory[memory_of(tensor)].append(weakref.ref(observed))

    def left(self) -> Iterator[Observed]:
        """Yield those whose backward has not run."""
        for ref in self._all:
            observed = ref()
            if observed is not None and not observed.done:
                yield observed

    def overwritten(self, tensor: torch.Tensor, by: str) -> None:
        """Give a copy to all that hold the storage of a tensor, which is about to be overwritten.

        Parameters
        ----------
        by : the line of the program that overwrites it.
        """
        memory = memory_of(tensor)
        for ref in self._by_memory.pop(memory, []) if memory else []:
            observed = ref()
            if observed is not None:
                observed.copy_storage(memory, by)
