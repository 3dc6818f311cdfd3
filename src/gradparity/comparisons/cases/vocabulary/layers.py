"""Whole layers of sequences: recurrent ones, and attention with several heads."""

from __future__ import annotations

from ....core.vocabulary import layers as ops
from .shaped import Shaped, unsaturated

__all__ = ["CASES"]

STEPS = {"x": (2, 3)}
TOKENS = {"x": (5, 4)}

CASES: dict[str, Shaped] = {
    "gru": Shaped(ops.GRU(3, 4), STEPS, within=unsaturated),
    "gru-reset-before": Shaped(ops.GRU(3, 4, reset_after=False), STEPS, within=unsaturated),
    "lstm": Shaped(ops.LSTM(3, 4), STEPS, within=unsaturated),
    "rnn-both-ways": Shaped(ops.RNN(3, 4, bidirectional=True), STEPS, within=unsaturated),
    "multi-head": Shaped(ops.MultiHeadAttention(4, 2), TOKENS, within=unsaturated),
    "multi-head-causal": Shaped(
        ops.MultiHeadAttention(4, 2, causal=True, bias=False), TOKENS, within=unsaturated
    ),
    "multi-head-cross": Shaped(
        ops.MultiHeadAttention(4, 2, cross=True),
        {**TOKENS, "memory": (3, 4)},
        within=unsaturated,
    ),
}
