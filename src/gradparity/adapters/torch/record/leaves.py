"""The leaves of a program whose gradients a recording leaves as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["kept_gradients"]


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
