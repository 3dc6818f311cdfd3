"""The first pairs, on which the comparison was tuned."""

from __future__ import annotations

from . import first_attention, first_images, first_others
from .pair import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()
for _module in (first_images, first_attention, first_others):
    PAIRS.update(_module.PAIRS)
