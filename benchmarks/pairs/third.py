"""The third pairs.

They and their patterns were written before their first run, without knowledge of how the comparison
works.
"""

from __future__ import annotations

from . import third_attention, third_images, third_losses, third_sequences
from .pair import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()
for _module in (third_images, third_attention, third_sequences, third_losses):
    PAIRS.update(_module.PAIRS)
