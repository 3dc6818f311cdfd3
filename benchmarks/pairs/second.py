"""The second pairs.

They and their patterns were written before their first run, without knowledge of how the comparison
works; its causes were mended on them afterwards.
"""

from __future__ import annotations

from . import second_attention, second_images, second_losses, second_sequences
from .pair import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()
for _module in (second_images, second_attention, second_sequences, second_losses):
    PAIRS.update(_module.PAIRS)
