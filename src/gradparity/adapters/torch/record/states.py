"""The states of a PyTorch program: buffers, frozen parameters, and arguments that it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Listener
from ....core.network.states import Path, State, returned_states
from .aten.tensors import numbers
from .quiet import Quiet

__all__ = ["States", "tell_of_returned", "tensors_by_path"]


class States:
    """Copies of tensors without a gradient, to find afterwards what has become of them.

    Nothing is copied if the listener keeps no states.
    """

    def __init__(self, listener: Listener, quiet: Quiet) -> None:
        self.listener, self.quiet = listener, quiet
        self._kept: dict[int, tuple[str, torch.Tensor, NDArray]] = {}
        self._names: set[str] = set()

    def keep(self, given: Mapping[str, torch.Tensor]) -> None:
        """Copy these, except those that are kept already."""
        if self.listener.keeps_states:
            with self.quiet():
                self._keep(given)

    def _keep(self, given: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in given.items():
            plain = type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
            if not plain or id(tensor) in self._kept or not _is_state(tensor):
                continue
            unique, i = name, 2
            while unique in self._names:
                unique, i = f"{name}_{i}", i + 1
            self._names.add(unique)
            self._kept[id(tensor)] = unique, tensor, _array(tensor)

    def keep_module(self, module: torch.nn.Module, prefix: str = "") -> None:
        """Copy the buffers and frozen parameters of a module."""
        self.keep({prefix + name: tensor for name, tensor in _of_module(module)})

    def keep_arguments(self, args: tuple[Any, ...]) -> None:
        """Copy what a function is given: the names of a single module are as in the module."""
        modules = [i for i, a in enumerate(args) if isinstance(a, torch.nn.Module)]
        for i, arg in enumerate(args):
            lead = () if modules == [i] else (f"arg{i}",)
            self.keep({".".join((*lead, *path)): t for path, t in tensors_by_path(arg)})
        for name, _, before in self._kept.values():
            self.listener.was_given(name, before)

    def tell(self) -> None:
        """Tell of every one as it is now."""
        for name, tensor, before in self._kept.values():
            after = _array(tensor)
            same = np.array_equal(after, before, equal_nan=True)
            self.listener.left_state(name, State(before if same else after, (before,), True))


def tell_of_returned(listener: Listener, returned: Any, given: Any) -> None:
    """Tell of the tensors that a function returned beside the loss."""
    there = {p: t for p, t in tensors_by_path(given) if not t.is_complex()}
    before = {path: _array(t) for path, t in there.items()}
    kept = {id(t) for t in there.values()}
    new = ((p, t) for p, t in tensors_by_path(returned) if id(t) not in kept)
    own = {path: _array(t) for path, t in new if not t.is_complex()}
    for name, state in returned_states(own, before).items():
        listener.left_state(name, state)


def tensors_by_path(value: Any, path: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """The tensors in nested containers and modules, with the names that lead to them."""
    if isinstance(value, torch.nn.Module):
        for name, tensor in _of_module(value):
            yield (*path, *name.split(".")), tensor
    elif isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from tensors_by_path(each, (*path, *str(key).split(".")))
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            yield from tensors_by_path(each, (*path, str(i)))


def _of_module(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_buffers()
    yield from ((n, p) for n, p in module.named_parameters() if not p.requires_grad)


def _is_state(tensor: torch.Tensor) -> bool:
    return not (tensor.requires_grad or tensor.is_complex() or tensor.layout != torch.strided)


def _array(tensor: torch.Tensor) -> NDArray:
    """A copy of the numbers of a tensor; float32 of formats that NumPy does not have."""
    plain = tensor.detach()
    if plain.is_floating_point() and plain.dtype not in (torch.float32, torch.float64):
        plain = plain.float()
    found: NDArray = numbers(plain).copy()
    return found
