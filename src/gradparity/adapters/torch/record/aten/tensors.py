"""Tensors of a program as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

from .....core.arithmetic.arrays import NDArray

__all__ = [
    "format_of",
    "is_freed",
    "is_of_others",
    "is_plain",
    "memory_of",
    "numbers",
    "tensors_in",
    "with_numbers",
]

#: Number formats of results, the finest first.
FORMATS = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


def numbers(tensor: torch.Tensor) -> NDArray:
    """The numbers of a tensor; bfloat16 as float32."""
    tensor = tensor.detach()
    if tensor._is_zerotensor():  # it has no memory
        return np.zeros(tuple(tensor.shape), np.float64 if tensor.dtype == torch.float64 else "f4")
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.to_dense()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    tensor = tensor.cpu().resolve_neg()
    if tensor.numel() == 0:
        return np.empty(tuple(tensor.shape), _dtype_of(tensor.dtype))
    return np.asarray(_Memory(tensor))


class _Memory:
    """The memory of a tensor, for NumPy to read where it is.

    ``tensor.numpy()`` would forbid the program to resize that memory ever after, as FSDP does.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        needed = (tensor.storage_offset() + last + 1) * tensor.element_size()
        if tensor.untyped_storage().nbytes() < needed:
            raise ValueError("its memory has been freed by the program")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        size = self.tensor.element_size()
        return {
            "version": 3,
            "shape": tuple(self.tensor.shape),
            "typestr": _dtype_of(self.tensor.dtype).str,
            "data": (self.tensor.data_ptr(), False),
            "strides": tuple(step * size for step in self.tensor.stride()),
        }


@cache
def _dtype_of(dtype: torch.dtype) -> np.dtype[Any]:
    found: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
    return found


def format_of(*tensors: torch.Tensor | None) -> str:
    """The coarsest number format among the floats."""
    found = [t.dtype for t in tensors if t is not None and t.dtype in FORMATS]
    order = list(FORMATS)
    return FORMATS[max(found, key=order.index, default=torch.float64)]


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is a dense array of real numbers, integers or booleans, in memory of its own."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
        return False
    if tensor.is_nested or tensor.is_meta:
        return False
    if is_of_others(tensor):
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.dtype in FORMATS or not tensor.is_floating_point()


def is_freed(tensor: torch.Tensor) -> bool:
    """Whether the program has freed its memory, as FSDP does with a gathered parameter."""
    return is_plain(tensor) and tensor.numel() > 0 and tensor.untyped_storage().nbytes() == 0


#: Classes of tensors that are what they seem.
_ORDINARY = {torch.Tensor, torch.nn.Parameter}


def is_of_others(tensor: torch.Tensor) -> bool:
    """Whether a subclass says itself what its ops do, such as a fake or a nested tensor."""
    if type(tensor) in _ORDINARY:
        return False
    own = type(tensor).__dict__.get("__torch_dispatch__", type(tensor).__torch_dispatch__)
    return own is not torch._C._disabled_torch_dispatch_impl


def memory_of(tensor: torch.Tensor) -> int:
    """The address of its memory; 0 of a tensor without one, such as a sparse one."""
    if tensor.layout is not torch.strided:
        return 0
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0


def with_numbers(value: Any, arrays: Iterator[NDArray]) -> Any:
    """An argument with other numbers in the place of its tensors; floats in float64."""
    if isinstance(value, torch.Tensor):
        other = torch.from_numpy(np.array(next(arrays)))
        floats = other.is_floating_point()
        return other.to(value.device, torch.float64 if floats else value.dtype)
    if isinstance(value, list | tuple):
        return type(value)(with_numbers(each, arrays) for each in value)
    return value


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in an argument or a result: itself, or those of a list."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for each in value:
            yield from tensors_in(each)
