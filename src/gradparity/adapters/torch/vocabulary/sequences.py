"""PyTorch's recurrent cells and rotary positions: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ....core.vocabulary import sequences as ops

__all__ = ["FUNCTIONS"]


def _rnn_cell(op: ops.RNNCell, x: Tensor, h: Tensor, W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    return torch.rnn_tanh_cell(x, h, W.T, U.T, b, torch.zeros_like(b))


def _gru_cell(op: ops.GRUCell, x: Tensor, h: Tensor, *p: Tensor) -> Tensor:
    W, U, b, *c = p
    if op.reset_after:
        return torch.gru_cell(x, h, W.T, U.T, b, c[0])
    W_r, W_u, W_n = W.chunk(3, 1)
    U_r, U_u, U_n = U.chunk(3, 1)
    b_r, b_u, b_n = b.chunk(3)
    r = torch.sigmoid(x @ W_r + h @ U_r + b_r)
    u = torch.sigmoid(x @ W_u + h @ U_u + b_u)
    n = torch.tanh(x @ W_n + (r * h) @ U_n + b_n)
    return (1 - u) * n + u * h


def _rotary(op: ops.Rotary, y: Tensor, c: Tensor, s: Tensor) -> Tensor:
    if op.layout == "pairs":
        a, b = y[..., 0::2], y[..., 1::2]
        return torch.stack([a * c - b * s, b * c + a * s], -1).flatten(-2)
    a, b = y.chunk(2, -1)
    turned = torch.cat([-b, a], -1)  # as Hugging Face's models write it
    return y * torch.cat([c, c], -1) + turned * torch.cat([s, s], -1)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.GRUCell: _gru_cell,
    ops.RNNCell: _rnn_cell,
    ops.Rotary: _rotary,
}
