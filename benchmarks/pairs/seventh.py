"""The seventh pairs.

They and their patterns were written before their first run, without knowledge of how the
comparison works.  After it no pattern was changed; `shuffle_net` was given a model of its own for
each program, as one recording moved the running statistics of the other.
"""

from __future__ import annotations

from . import (
    seventh_attention,
    seventh_images,
    seventh_language,
    seventh_losses,
    seventh_sequences,
)
from .pair import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()
for _module in (
    seventh_images,
    seventh_sequences,
    seventh_attention,
    seventh_language,
    seventh_losses,
):
    PAIRS.update(_module.PAIRS)
