"""The rules of optimisers that `check_optimizer` judges a step by.

>>> import gradparity as gp
>>> gp.optimisers.SGD(0.1, momentum=0.9).states
('momentum_buffer',)
"""

from __future__ import annotations

from .core.optimisers.adam import Adam, Adamax, AdamW, NAdam, RAdam
from .core.optimisers.clipping import Clip, ClipByNorm, ClipByValue
from .core.optimisers.rule import Rule
from .core.optimisers.rules import SGD, Adadelta, Adagrad, Lion, RMSProp

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Clip",
    "ClipByNorm",
    "ClipByValue",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSProp",
    "Rule",
]
