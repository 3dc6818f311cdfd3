"""Labels that are not aligned with their frames."""

from __future__ import annotations

import numpy as np

from ....core.vocabulary import alignments as ops
from .shaped import Shaped

__all__ = ["CASES"]

#: Two rows of labels, and logits of 7 frames, of which the last two are padding.
VALUES = {"ids": (2, 3), "y": (2, 7, 4)}
FRAMES = {"mask": np.array([1.0] * 5 + [0.0] * 2)}

CASES: dict[str, Shaped] = {
    "ctc": Shaped(ops.CTC(4, blank=1), VALUES, FRAMES),
    # Three labels with a repetition fit into three frames in no way.
    "ctc-zero-infinity": Shaped(ops.CTC(3, zero_infinity=True), {"ids": (2, 3), "y": (2, 3, 3)}),
}
