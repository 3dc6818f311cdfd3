"""Whole layers of sequences: recurrent ones, and attention with several heads."""

from __future__ import annotations

from ....core.vocabulary import layers as ops
from .shaped import Shaped, unsaturated

__all__ = ["CASES"]

#: Two steps, and three samples: where more are summed, small faults are within float32 bounds.
STEPS = {"x": (2, 3)}
TOKENS = {"x": (5, 4)}

CASES: dict[str, Shaped] = {
    "gru": Shaped(ops.GRU(3, 2), STEPS, batch=3, scale=0.2, within=unsaturated),
    "gru-reset-before": Shaped(
        ops.GRU(3, 2, reset_after=False), STEPS, batch=3, scale=0.2, within=unsaturated
    ),
    "lstm": Shaped(ops.LSTM(3, 2), STEPS, batch=3, scale=0.2, within=unsaturated),
    "rnn-both-ways": Shaped(
        ops.RNN(3, 2, bidirectional=True), STEPS, batch=2, scale=0.2, within=unsaturated
    ),
    "multi-head": Shaped(ops.MultiHeadAttention(4, 2), TOKENS, batch=3, within=unsaturated),
    "multi-head-causal": Shaped(
        ops.MultiHeadAttention(4, 2, causal=True, bias=False), TOKENS, batch=3, within=unsaturated
    ),
    "multi-head-cross": Shaped(
        ops.MultiHeadAttention(4, 2, cross=True),
        {**TOKENS, "memory": (3, 4)},
        within=unsaturated,
    ),
}
