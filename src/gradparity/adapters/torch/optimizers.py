"""Steps of a copy of a PyTorch optimizer, as plain arrays."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ...core.optimizers.rule import Rule
from ...core.optimizers.update import Update
from .record.optimizer_rules import read, rule_of, updates

__all__ = ["copy_of", "steps_of"]


def steps_of(
    optimizer: torch.optim.Optimizer,
    module: torch.nn.Module | None,
    rule: Rule | None,
    steps: int,
    draw: Any,
) -> Iterator[list[Update]]:
    """Make steps with a copy of an optimizer and of its parameters.

    Parameters
    ----------
    module : gives the names of the parameters.
    rule : None for that of its class.
    draw : gives a gradient for a shape.

    Raises
    ------
    TypeError : there is no rule for its class, and none was given.
    ValueError : the optimizer has no parameter of the module.
    """
    if module is not None:
        _check_module(optimizer, module)
    names = _names(optimizer, module)
    own = copy_of(optimizer)
    for group in own.param_groups:
        if rule is None and rule_of(own, group, exact=False) is None:
            raise TypeError(
                f"check_optimizer: there is no rule for {type(own).__name__}; give rule=, such as "
                "rule=gradparity.optimizers.Adam(lr=1e-3)"
            )
    pairs = zip(_parameters(optimizer), _parameters(own), strict=True)
    called = {id(copied): names[id(p)] for p, copied in pairs}

    def rule_for(group: Mapping[str, Any]) -> Rule | None:
        return rule or rule_of(own, group, exact=False)

    for p, copied in zip(_parameters(optimizer), _parameters(own), strict=True):
        copied.grad = None if p.grad is None else p.grad.detach().clone()
    given = any(p.grad is not None for p in _parameters(own))
    counted = [0]
    for t in range(1, steps + 1):
        if t > 1 or not given:
            for p in _parameters(own):
                drawn = torch.from_numpy(np.asarray(draw(tuple(p.shape))))
                p.grad = drawn.to(device=p.device, dtype=p.dtype)
        before = read(own, rule_for)
        own.step()
        counted[0] = t
        known = any("step" in own.state.get(p, {}) for p in _parameters(own))
        yield list(updates(own, before, lambda p: called[id(p)], None if known else t))


def _check_module(optimizer: torch.optim.Optimizer, module: torch.nn.Module) -> None:
    own = {id(p) for p in module.parameters()}
    if not any(id(p) in own for p in _parameters(optimizer)):
        raise ValueError(
            f"check_optimizer: params is a {type(module).__name__} with none of the parameters of "
            f"the {type(optimizer).__name__}; give the module whose parameters the optimizer has, "
            "or None"
        )


def copy_of(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """A copy with parameters of its own; PyTorch's leaves out what a derived class keeps."""
    memo: dict[int, Any] = {}
    own = copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():
        if name in vars(own) or name == "step":  # a scheduler's, which calls the original
            continue
        try:
            setattr(own, name, copy.deepcopy(value, memo))
        except Exception:  # such as a lock, which both may use
            setattr(own, name, value)
    return own


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _names(optimizer: torch.optim.Optimizer, module: torch.nn.Module | None) -> dict[int, str]:
    names = {id(p): name for name, p in module.named_parameters()} if module is not None else {}
    for group in optimizer.param_groups:
        given = group.get("param_names") or ()
        for p, name in zip(group["params"], given, strict=False):
            names.setdefault(id(p), name)
    for i, p in enumerate(_parameters(optimizer)):
        names.setdefault(id(p), f"parameter_{i + 1}")
    return names
