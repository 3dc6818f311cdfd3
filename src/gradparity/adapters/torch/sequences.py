"""PyTorch's layers of whole sequences: recurrent ones, and attention with several heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.vocabulary import layers as ops
from ..by_class import Names
from .vocabulary.sequences import FUNCTIONS as CELLS

__all__ = ["LAYERS", "NATIVE", "TRANSPOSED"]

_FORWARDS = {"W": "weight_ih_l0", "U": "weight_hh_l0", "b": "bias_ih_l0", "c": "bias_hh_l0"}
_RECURRENT = _FORWARDS | {f"{k}{ops.REVERSE}": f"{v}_reverse" for k, v in _FORWARDS.items()}

#: PyTorch's names for parameters.
NATIVE: Names = {
    ops.Recurrent: _RECURRENT,
    ops.MultiHeadAttention: {
        "W": "in_proj_weight",
        "b": "in_proj_bias",
        "V": "out_proj.weight",
        "c": "out_proj.bias",
    },
}
#: Parameters that PyTorch has as (out, in).
TRANSPOSED: dict[type[Any], tuple[str, ...]] = {
    ops.Recurrent: ("W", "U", f"W{ops.REVERSE}", f"U{ops.REVERSE}"),
    ops.MultiHeadAttention: ("W", "V"),
}


class _Recurrent(nn.Module):
    """Mixin of `nn.RNN`, `nn.LSTM` and `nn.GRU`: the value of every step alone."""

    def forward(self, x: Tensor) -> Tensor:
        # Parameters registered after `__init__` are not in the layer's own list of weights.
        names: list[str] = self._flat_weights_names
        self._flat_weights: Any = [getattr(self, name) for name in names]
        found: Tensor = super().forward(x.reshape(-1, *x.shape[-2:]))[0]
        return found.reshape(*x.shape[:-1], -1)


class RNN(_Recurrent, nn.RNN):
    """`nn.RNN` with one value."""


class LSTM(_Recurrent, nn.LSTM):
    """`nn.LSTM` with one value."""


class GRU(_Recurrent, nn.GRU):
    """`nn.GRU` with one value."""


class ResetBefore(nn.Module):
    """A GRU whose r multiplies h, which PyTorch does not have: a loop over the steps."""

    def __init__(self, op: ops.GRU) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        op, cell, found = self.op, self.op.cell, []
        for way in ("", ops.REVERSE)[: 2 if op.bidirectional else 1]:
            p = [getattr(self, _RECURRENT[letter + way]) for letter in op.letters]
            h, steps = x.new_zeros((*x.shape[:-2], op.h)), []
            order = range(x.shape[-2])
            for t in reversed(order) if way else order:
                h = CELLS[type(cell)](cell, x[..., t, :], h, *(a.T for a in p[:2]), *p[2:])
                steps.append(h)
            found.append(torch.stack(steps[::-1] if way else steps, -2))
        return torch.cat(found, -1)

    def extra_repr(self) -> str:
        return repr(self.op)


class MultiHeadAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` with one value."""

    def __init__(self, op: ops.MultiHeadAttention) -> None:
        super().__init__(op.d, op.heads, bias=op.bias, batch_first=True, device="meta")
        self.causal = op.causal

    def forward(self, *y: Tensor) -> Tensor:
        flat = [a.reshape(-1, *a.shape[-2:]) for a in y]
        q, k, mask = flat[0], flat[-1], None
        if self.causal:
            mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool, device=q.device).triu(1)
        found: Tensor = super().forward(
            q, k, k, need_weights=False, attn_mask=mask, is_causal=self.causal
        )[0]
        return found.reshape(y[0].shape)


def _recurrent(layer: Any) -> Callable[[Any], nn.Module]:
    def make(op: ops.Recurrent) -> nn.Module:
        if isinstance(op, ops.GRU) and not op.reset_after:
            return ResetBefore(op)
        made: nn.Module = layer(
            op.d, op.h, batch_first=True, bidirectional=op.bidirectional, device="meta"
        )
        return made

    return make


#: Op -> PyTorch's layer for it; parameters are on the device "meta", which allocates no memory.
LAYERS: dict[type[Any], Callable[[Any], nn.Module]] = {
    ops.GRU: _recurrent(GRU),
    ops.LSTM: _recurrent(LSTM),
    ops.RNN: _recurrent(RNN),
    ops.MultiHeadAttention: MultiHeadAttention,
}
