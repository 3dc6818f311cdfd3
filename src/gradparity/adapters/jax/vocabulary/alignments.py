"""Optax's loss of labels that are not aligned with their frames: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from ....core.vocabulary import alignments as ops

__all__ = ["FUNCTIONS"]


def _ctc(op: ops.CTC, labels: Any, y: Any, *mask: Any) -> Any:
    """Where no alignment exists, Optax's loss is about 1e5 and not infinite."""
    padded = jnp.broadcast_to(mask[0] == 0 if mask else False, y.shape[:-1])
    padded = padded.reshape(-1, y.shape[-2]).astype(y.dtype)
    labels = labels.reshape(-1, labels.shape[-1])
    behind, flat = (labels < 0).astype(y.dtype), y.reshape(-1, *y.shape[-2:])
    z = optax.ctc_loss(flat, padded, jnp.maximum(labels, 0), behind, blank_id=op.blank)
    impossible = 0.0 if op.zero_infinity else jnp.inf
    return jnp.where(z > 5e4, impossible, z).reshape(y.shape[:-2])


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {ops.CTC: _ctc}
