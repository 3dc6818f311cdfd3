"""Recurrent cells and rotary positions."""

from __future__ import annotations

import numpy as np

from ....core import Attention
from ....core.vocabulary import sequences as ops
from .shaped import Shaped, unsaturated

__all__ = ["CASES"]

STEP = {"x": (3,), "h": (4,)}
#: Of 5 positions and 3 frequencies.
ANGLES = np.outer(np.arange(5.0), 0.1 ** np.arange(3))
TABLES = {"c": np.cos(ANGLES), "s": np.sin(ANGLES)}


CASES: dict[str, Shaped] = {
    "attention-bias": Shaped(
        Attention(mask=True),
        {**dict.fromkeys("qkv", (2, 5, 4)), "bias": (2, 5, 5)},
        within=unsaturated,
    ),
    "attention-scaled": Shaped(
        Attention(causal=True, scale=0.3),
        dict.fromkeys("qkv", (2, 5, 4)),
        within=unsaturated,
    ),
    "gru-cell": Shaped(ops.GRUCell(3, 4), STEP, scale=0.2),
    "gru-cell-reset-before": Shaped(ops.GRUCell(3, 4, reset_after=False), STEP, scale=0.2),
    "rnn-cell": Shaped(ops.RNNCell(3, 4), STEP, scale=0.2),
    "rotary": Shaped(ops.Rotary(), {"y": (2, 5, 6)}, TABLES),
    "rotary-pairs": Shaped(ops.Rotary("pairs"), {"y": (2, 5, 6)}, TABLES),
}
