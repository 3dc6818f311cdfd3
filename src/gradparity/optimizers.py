"""The rules of optimizers that `check_optimizer` judges a step by, and schedules of the rate.

>>> import gradparity as gp
>>> gp.optimizers.SGD(0.1, momentum=0.9).states
('momentum_buffer',)
"""

from __future__ import annotations

from .core.optimizers.adafactor import Adafactor
from .core.optimizers.adam import Adam, Adamax, AdamW, NAdam, RAdam
from .core.optimizers.clipping import Clip, ClipByNorm, ClipByValue
from .core.optimizers.rule import Rule
from .core.optimizers.rules import SGD, Adadelta, Adagrad, Lion, RMSProp
from .core.optimizers.schedules import (
    Cosine,
    Exponential,
    Joined,
    Linear,
    OneCycle,
    Schedule,
    StepDecay,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Clip",
    "ClipByNorm",
    "ClipByValue",
    "Cosine",
    "Exponential",
    "Joined",
    "Linear",
    "Lion",
    "NAdam",
    "OneCycle",
    "RAdam",
    "RMSProp",
    "Rule",
    "Schedule",
    "StepDecay",
]
