"""The rates of a copy of a PyTorch scheduler, and the schedule that its class is."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
from torch.optim import lr_scheduler as of

from ...core.arithmetic.arrays import NDArray
from ...core.optimizers.schedules import (
    Cosine,
    Exponential,
    Joined,
    Linear,
    OneCycle,
    Schedule,
    StepDecay,
)
from .optimizers import copy_of

__all__ = ["rates_of", "schedule_of"]


def rates_of(scheduler: Any, steps: int) -> list[NDArray]:
    """The rates of every parameter group after 0, 1, ... steps; the scheduler stays as it is."""
    optimizer = copy_of(scheduler.optimizer)
    own = copy.deepcopy(scheduler, {id(scheduler.optimizer): optimizer})
    rates = [[float(group["lr"]) for group in optimizer.param_groups]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer makes no steps
        for _ in range(steps - 1):
            own.step()
            rates.append([float(group["lr"]) for group in optimizer.param_groups])
    return list(np.array(rates).T)


def schedule_of(scheduler: Any, group: int) -> Schedule | None:
    """The schedule of one parameter group with the settings of a scheduler; None if unknown."""
    kind = type(scheduler)
    if kind is of.SequentialLR:
        parts = [schedule_of(part, group) for part in scheduler._schedulers]
        known = [part for part in parts if part is not None]
        return Joined(known, scheduler._milestones) if len(known) == len(parts) else None
    if not hasattr(scheduler, "base_lrs"):
        return None
    lr = float(scheduler.base_lrs[group])
    if kind is of.StepLR:
        return StepDecay(lr, scheduler.gamma, scheduler.step_size)
    if kind is of.ExponentialLR:
        return Exponential(lr, scheduler.gamma)
    if kind is of.LinearLR:
        first, last = scheduler.start_factor * lr, scheduler.end_factor * lr
        return Linear(first, last, scheduler.total_iters)
    if kind is of.CosineAnnealingLR:
        return Cosine(lr, scheduler.T_max, float(scheduler.eta_min), returns=True)
    if kind is of.OneCycleLR and scheduler._anneal_func_type == "cos":
        return _one_cycle(scheduler, group)
    return None


def _one_cycle(scheduler: Any, group: int) -> Schedule | None:
    phases, settings = scheduler._schedule_phases, scheduler.optimizer.param_groups[group]
    if len(phases) != 2:
        return None
    top, low, least = (settings[name] for name in ("max_lr", "initial_lr", "min_lr"))
    rises, ends = (phase["end_step"] for phase in phases)
    return OneCycle(top, rises, ends, top / low, low / least)
