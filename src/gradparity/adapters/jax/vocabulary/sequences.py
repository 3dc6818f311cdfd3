"""Recurrent cells and rotary positions in JAX: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import sequences as ops

__all__ = ["FUNCTIONS"]


def _rnn_cell(op: ops.RNNCell, x: Any, h: Any, W: Any, U: Any, b: Any) -> Any:
    return jnp.tanh(x @ W + h @ U + b)


def _gru_cell(op: ops.GRUCell, x: Any, h: Any, W: Any, U: Any, b: Any, *c: Any) -> Any:
    x_r, x_u, x_n = jnp.split(x @ W + b, 3, -1)
    U_r, U_u, U_n = jnp.split(U, 3, -1)
    c_r, c_u, c_n = jnp.split(c[0], 3) if c else (0, 0, 0)
    r = jax.nn.sigmoid(x_r + (h @ U_r + c_r))
    u = jax.nn.sigmoid(x_u + (h @ U_u + c_u))
    n = jnp.tanh(x_n + (r * (h @ U_n + c_n) if op.reset_after else (r * h) @ U_n))
    return (1 - u) * n + u * h


def _rotary(op: ops.Rotary, y: Any, c: Any, s: Any) -> Any:
    if op.layout == "pairs":
        a, b = y[..., 0::2], y[..., 1::2]
        return jnp.stack([a * c - b * s, b * c + a * s], -1).reshape(y.shape)
    a, b = jnp.split(y, 2, -1)
    return jnp.concatenate([a * c - b * s, b * c + a * s], -1)


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.GRUCell: _gru_cell,
    ops.RNNCell: _rnn_cell,
    ops.Rotary: _rotary,
}
