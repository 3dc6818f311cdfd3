"""The pairs that the comparison was not tuned on, with patterns written before their first run."""

from __future__ import annotations

from . import untuned_attention, untuned_images, untuned_losses, untuned_sequences
from .pair import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()
for _module in (untuned_images, untuned_attention, untuned_sequences, untuned_losses):
    PAIRS.update(_module.PAIRS)
