"""PyTorch's number formats: a case's dtype, and emulated TF32 where the hardware lacks it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ...core.arithmetic.precision import PRECISIONS, rounded_to
from ...core.network.case import Case

__all__ = ["matrix_products", "native_dtype"]


def native_dtype(case: Case) -> torch.dtype:
    name = case.precision.name
    dtype: torch.dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    return dtype


@contextlib.contextmanager
def matrix_products(case: Case) -> Iterator[Callable[[nn.Module], None]]:
    """Compute in TF32 if the case asks for it: on the GPU, or else by rounding the operands.

    Yields a function that prepares a module; the global setting is restored.
    """
    if case.precision.name != "tf32":
        yield lambda module: None
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield _emulate_tf32
    finally:
        torch.set_float32_matmul_precision(before)


def _emulate_tf32(module: nn.Module) -> None:
    for layer in module.children():
        if isinstance(layer, nn.Linear) and layer.weight.device.type == "cpu":
            layer.forward = functools.partial(_tf32_linear, layer)


def _tf32_linear(layer: nn.Linear, y: Tensor) -> Tensor:
    """A linear layer whose operands y and W, and by a hook the gradient, are rounded to TF32."""
    product = _straight_through(y) @ _straight_through(layer.weight).T
    product.register_hook(_to_tf32)
    return product if layer.bias is None else product + layer.bias


def _straight_through(t: Tensor) -> Tensor:
    """t rounded to TF32, differentiated as the identity: t + (rounded - t) is exact."""
    return t + (_to_tf32(t.detach()) - t.detach())


def _to_tf32(t: Tensor) -> Tensor:
    return torch.tensor(rounded_to(t.numpy(), PRECISIONS["tf32"].factors))
