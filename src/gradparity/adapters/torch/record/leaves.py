"""The leaves among the arguments of a function: their names, and their gradients set aside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .states import tensors_by_path

__all__ = ["kept_gradients", "named_leaves"]


def named_leaves(args: tuple[Any, ...]) -> dict[str, torch.Tensor]:
    """The leaves that a gradient is asked by, by name.

    The parameters of the one module among the arguments are named as in it, tensors by the path in
    their argument, and an argument that is one by its position: "arg1".
    """
    modules = [a for a in args if isinstance(a, torch.nn.Module)]
    found = dict(modules[0].named_parameters()) if len(modules) == 1 else {}
    for i, arg in enumerate(args):
        for path, tensor in () if isinstance(arg, torch.nn.Module) else tensors_by_path(arg):
            if tensor.is_leaf and tensor.requires_grad:
                name = ".".join(path) or f"arg{i}"
                found[f"{name}_{i}" if name in found else name] = tensor
    return found


@contextmanager
def kept_gradients(args: tuple[Any, ...]) -> Iterator[None]:
    """Set ``.grad`` aside of every leaf among the arguments, and put it back at the end."""
    leaves = list(_leaves(args))
    before = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        yield
    finally:
        for leaf, grad in zip(leaves, before, strict=True):
            leaf.grad = grad


def _leaves(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in arguments that gradients are accumulated in."""
    if isinstance(value, torch.nn.Module):
        yield from value.parameters()
    elif isinstance(value, torch.Tensor):
        if value.is_leaf and value.requires_grad:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
