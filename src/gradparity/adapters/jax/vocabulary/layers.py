"""Whole layers of sequences in JAX: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import layers as ops
from .sequences import FUNCTIONS as CELLS

__all__ = ["FUNCTIONS"]


def _rnn_step(op: ops.RNN, states: Any, x: Any, W: Any, U: Any, b: Any, c: Any) -> Any:
    return (jnp.tanh(x @ W + b + (states[0] @ U + c)),)


def _lstm_step(op: ops.LSTM, states: Any, x: Any, W: Any, U: Any, b: Any, c: Any) -> Any:
    h, cell = states
    i, f, g, o = jnp.split(x @ W + b + (h @ U + c), 4, -1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def _gru_step(op: ops.GRU, states: Any, x: Any, *p: Any) -> Any:
    return (CELLS[type(op.cell)](op.cell, x, states[0], *p),)


def _layer(step: Callable[..., Any], op: ops.Recurrent, x: Any, *p: Any) -> Any:
    """The steps by `lax.scan`, over a copy of x with the steps on axis 0, in every direction."""
    n = len(op.letters)
    start = jnp.zeros((*x.shape[:-2], op.h), x.dtype)
    states = (start,) * ((op.cell.n_inputs or 2) - 1)

    def scanned(own: Any, reverse: bool) -> Any:
        def body(carry: Any, at_t: Any) -> Any:
            new = step(op, carry, at_t, *own)
            return new, new[0]

        _, h = jax.lax.scan(body, states, jnp.moveaxis(x, -2, 0), reverse=reverse)
        return jnp.moveaxis(h, 0, -2)

    found = [scanned(p[i : i + n], i > 0) for i in range(0, len(p), n)]
    return jnp.concatenate(found, -1)


def _multi_head(op: ops.MultiHeadAttention, *y: Any) -> Any:
    x, memory, p = y[0], y[op.n_inputs - 1], y[op.n_inputs :]
    W, b, V, c = p if op.bias else (p[0], 0, p[1], 0)

    def of_heads(a: Any) -> Any:
        return jnp.moveaxis(a.reshape(*a.shape[:-1], op.heads, -1), -2, -3)

    projected = [jnp.split(a @ W + b, 3, -1)[i] for i, a in enumerate((x, memory, memory))]
    q, k, v = map(of_heads, projected)
    scores = q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(q.shape[-1]).astype(q.dtype)
    if op.causal:
        scores = jnp.where(jnp.tri(q.shape[-2], k.shape[-2], dtype=bool), scores, -jnp.inf)
    A = jnp.moveaxis(jax.nn.softmax(scores) @ v, -3, -2)
    return A.reshape(x.shape) @ V + c


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.GRU: lambda op, *y: _layer(_gru_step, op, *y),
    ops.LSTM: lambda op, *y: _layer(_lstm_step, op, *y),
    ops.RNN: lambda op, *y: _layer(_rnn_step, op, *y),
    ops.MultiHeadAttention: _multi_head,
}
