"""PyTorch on tensors that are stored in other ways, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core.network.case import Case
from ...core.network.nodes import DIV
from ..base import risk
from ..structures import NativeEdge, Way
from .layers import layout
from .precision import native_dtype
from .structured_edges import EDGES
from .vjp import to_numpy

__all__ = ["LAYOUTS", "Parts", "TorchStructures"]


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1) if t.ndim > 1 else _strided(t)


def _channels_last(t: Tensor) -> Tensor:
    """The second axis, of channels, is stored last."""
    return t.movedim(1, -1).contiguous().movedim(-1, 1) if t.ndim > 2 else t


def _batch_inside(t: Tensor) -> Tensor:
    """Samples are stored within positions: strides that a batch of one hides."""
    if t.ndim < 3:
        return t
    order = (*range(2, t.ndim), 0, 1)
    back = (t.ndim - 2, t.ndim - 1, *range(t.ndim - 2))
    return t.permute(order).contiguous().permute(back)


def _strided(t: Tensor) -> Tensor:
    """Every second number of a larger tensor."""
    if not t.ndim:
        return t
    larger = t.new_zeros((*t.shape[:-1], 2 * t.shape[-1]))
    larger[..., ::2] = t
    return larger[..., ::2]


def _offset(t: Tensor) -> Tensor:
    """In storage that begins before the tensor, at an address of no alignment."""
    larger = t.new_zeros(t.numel() + 1)
    larger[1:] = t.reshape(-1)
    return larger[1:].view(t.shape)


def _expanded(t: Tensor) -> Tensor:
    """One sample for all, with stride zero."""
    return t[:1].contiguous().expand(t.shape) if t.ndim else t


#: Name -> the same numbers, stored in another way.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda t: t,
    "transposed": _transposed,
    "channels last": _channels_last,
    "batch inside": _batch_inside,
    "strided": _strided,
    "storage offset": _offset,
    "zero stride": _expanded,
}
GRADIENT = "gradient "
COMPILED = "compiled"


class Parts(NamedTuple):
    """Functions of the adapter that a run is made of."""

    leaves: Callable[..., dict[str, Tensor]]
    target: Callable[..., Tensor]
    weighted: Callable[..., tuple[Tensor, Tensor | None]]
    tensor: Callable[..., Tensor]


class TorchStructures:
    """See `gradparity.adapters.structures.Structures`."""

    edges: Sequence[NativeEdge] = EDGES
    documented: Mapping[tuple[str, str], str] = {
        ("loss bce", "large offset"): "BCELoss clamps its logarithms to be at least -100",
    }

    def __init__(self, adapter: Any, parts: Parts) -> None:
        self.adapter, self.parts = adapter, parts

    def ways(self, compile: bool) -> Sequence[Way]:
        names = [*LAYOUTS, *(GRADIENT + name for name in LAYOUTS if name != "contiguous")]
        ways = [Way(name, equal=name.endswith("zero stride")) for name in names]
        return [*ways, *([Way(COMPILED)] if compile else [])]

    def run(self, case: Case, way: str) -> Mapping[str, Any]:
        network = case.network
        stored = LAYOUTS.get(way, LAYOUTS["contiguous"])
        of_gradient = LAYOUTS[way.removeprefix(GRADIENT)] if way.startswith(GRADIENT) else None
        with torch.inference_mode(False), torch.enable_grad():
            module = self.adapter.build(network, case.params, twin=case.twin)
            module = module.to(native_dtype(case))
            inputs = {name: self._input(case, name, stored) for name in network.inputs}
            called = torch.compile(module, dynamic=False) if way == COMPILED else module
            y = called(inputs)
            y = y if y.requires_grad else y.detach().requires_grad_()
            Div = module.divergence(y, self.parts.target(case, None, self.adapter.overrides))
            Div, weights = self.parts.weighted(network, Div, inputs)
            dDiv, dy = torch.autograd.grad(risk(network, Div, weights), [Div, y], retain_graph=True)
            letters = {n: (s.op, k) for s in network.body for k, n in s.own.items()}
            wanted = {
                n: t for n, t in self.parts.leaves(network, module).items() if t.requires_grad
            }
            wanted |= {n: t for n, t in inputs.items() if t.requires_grad}
            arriving = dy if of_gradient is None else of_gradient(dy)
            gradients = torch.autograd.grad(y, [*wanted.values()], arriving, allow_unused=True)
        results = {f"value {network.output}": to_numpy(y), DIV: to_numpy(Div)}
        results |= {f"grad {network.output}": to_numpy(dy), f"grad {DIV}": to_numpy(dDiv)}
        for (name, tensor), found in zip(wanted.items(), gradients, strict=True):
            found = torch.zeros_like(tensor) if found is None else found
            own = letters.get(name)
            results[f"grad {name}"] = to_numpy(found if own is None else layout(*own, found))
        return results

    def _input(self, case: Case, name: str, stored: Callable[[Tensor], Tensor]) -> Tensor:
        array = case.inputs[name]
        if array.dtype.kind != "f":
            return stored(
                self.parts.tensor(array if array.dtype.kind == "b" else array.astype("int64"), None)
            )
        tensor = stored(self.parts.tensor(array, None).to(native_dtype(case))).detach()
        return tensor if name in case.network.fixed else tensor.requires_grad_()
