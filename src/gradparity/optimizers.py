"""The rules of optimizers that `check_optimizer` judges a step by.

>>> import gradparity as gp
>>> gp.optimizers.SGD(0.1, momentum=0.9).states
('momentum_buffer',)
"""

from __future__ import annotations

from .core.optimizers.adam import Adam, Adamax, AdamW, NAdam, RAdam
from .core.optimizers.clipping import Clip, ClipByNorm, ClipByValue
from .core.optimizers.rule import Rule
from .core.optimizers.rules import SGD, Adadelta, Adagrad, Lion, RMSProp

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
