"""The tensors of a module or a state dict by name, as bits and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..base import Bits

__all__ = ["named", "of_bits", "read", "replaced", "to_bits", "write"]


def named(given: Any) -> dict[str, torch.Tensor]:
    """The tensors of a module, a state dict, or one tensor alone."""
    if isinstance(given, torch.nn.Module):
        given = given.state_dict()
    if isinstance(given, torch.Tensor):
        return {"input_1": given}
    return {name: a for name, a in given.items() if isinstance(a, torch.Tensor)}


def replaced(like: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The state dict of a module, or one like this, with other tensors at these names.

    Names that share a tensor, such as tied weights, share the new one.
    """
    own = named(like)
    of = {_memory(own[name]): tensor for name, tensor in tensors.items() if name in own}
    return {name: tensors.get(name, of.get(_memory(a), a)) for name, a in own.items()}


def _memory(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (
        tensor.data_ptr(),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.numel() or id(tensor),
    )


def to_bits(tensor: torch.Tensor) -> Bits:
    """The bits of a tensor."""
    whole = tensor.detach().cpu().contiguous()
    signed = getattr(torch, f"int{8 * whole.element_size()}")
    array = whole.view(signed).numpy().copy()
    return Bits(array.view(f"u{array.itemsize}"), str(tensor.dtype).removeprefix("torch."))


def of_bits(bits: Bits) -> torch.Tensor:
    """The tensor that has these bits."""
    signed = np.array(bits.array).view(f"i{bits.array.itemsize}")
    tensor: torch.Tensor = torch.from_numpy(signed).view(getattr(torch, bits.dtype))
    return tensor


def read(files: Any, path: str) -> dict[str, torch.Tensor]:
    """The tensors in a file, by `safetensors`; tied ones, which are in it once, by all their names.

    Parameters
    ----------
    files : the module `safetensors`.
    """
    with files.safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name) for name in list(file.keys())}
        tied = (file.metadata() or {}).items()
    return {**{name: found[kept] for name, kept in tied if kept in found}, **found}


def write(files: Any, tensors: Mapping[str, torch.Tensor], path: str) -> None:
    """Write a file of safetensors, with each tied tensor once, as `safetensors.torch.save_model`.

    The metadata have the name that a tied tensor is written by.
    """
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        first.setdefault(_memory(tensor), name)
    names = {name: first[_memory(tensor)] for name, tensor in tensors.items()}
    kept = {name: _alone(tensors[name]) for name in first.values()}
    files.torch.save_file(
        kept, path, metadata={name: own for name, own in names.items() if name != own}
    )


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in memory of its own, in the order of its elements."""
    whole = tensor.detach().contiguous()
    return whole if whole.untyped_storage().nbytes() == whole.nbytes else whole.clone()
