"""Rules of the optimizers in `torch.optim`, and the arrays before and after one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch

from ....core.arithmetic.arrays import NDArray
from ....core.optimizers import adafactor, adam, rules
from ....core.optimizers.rule import Rule
from ....core.optimizers.update import Moved, Update
from .aten.tensors import format_of, is_plain, numbers

__all__ = ["Before", "read", "rule_of", "updates"]

#: Settings of PyTorch that the rule has under another name.
RENAMED = {"decoupled_weight_decay": "decoupled", "initial_accumulator_value": "initial"}
#: Classes of PyTorch, and the rule of each.
RULES: dict[type, type[Rule]] = {
    torch.optim.SGD: rules.SGD,
    torch.optim.Adam: adam.Adam,
    torch.optim.AdamW: adam.AdamW,
    torch.optim.NAdam: adam.NAdam,
    torch.optim.RAdam: adam.RAdam,
    torch.optim.RMSprop: rules.RMSProp,
    torch.optim.Adagrad: rules.Adagrad,
    torch.optim.Adadelta: rules.Adadelta,
    torch.optim.Adamax: adam.Adamax,
    torch.optim.Adafactor: adafactor.Adafactor,
}


def rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], exact: bool) -> Rule | None:
    """The rule of a parameter group; None for an optimizer that has none.

    Parameters
    ----------
    exact : whether a class derived from one of PyTorch has none if it has settings of its own,
        which is a sign of another rule.
    """
    base = next((k for k in type(optimizer).__mro__ if k in RULES), None)
    if base is None or (exact and _has_own_settings(optimizer, base)):
        return None
    kind = RULES[base]
    known = kind.__dataclass_fields__
    given = {RENAMED.get(name, name): value for name, value in group.items()}
    settings = {name: _plain(value) for name, value in given.items() if name in known}
    settings["in_format"] = bool(group.get("capturable"))
    return kind(**settings)


def _has_own_settings(optimizer: torch.optim.Optimizer, base: type) -> bool:
    """Whether a derived class has settings that no constructor of PyTorch's class takes."""
    if type(optimizer) is base:
        return False
    known = {name for k in base.__mro__ for name in signature(k).parameters}
    return not set(optimizer.defaults) <= known


def _plain(value: Any) -> Any:
    """A setting as a number; PyTorch takes tensors, too."""
    if isinstance(value, torch.Tensor):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, tuple | list) else value


@dataclass(frozen=True, eq=False)
class Before:
    """A parameter before a step."""

    parameter: torch.Tensor
    number: int
    rule: Rule
    value: NDArray
    gradient: NDArray
    state: Mapping[str, NDArray] = field(default_factory=dict)
    step: int = 1
    later: NDArray | None = None


def read(
    optimizer: torch.optim.Optimizer, rule_for: Callable[[Mapping[str, Any]], Rule | None]
) -> list[Before]:
    """Copy every parameter that has a gradient, and its state, before a step.

    Raises
    ------
    TypeError : a parameter or a gradient that is not a plain array, such as a sparse one.
    """
    found = []
    for number, group in enumerate(optimizer.param_groups):
        rule = rule_for(group)
        for p in group["params"]:
            if rule is None or p.grad is None:
                continue
            if not (is_plain(p) and is_plain(p.grad)):
                raise TypeError("a parameter or its gradient is not a dense array of real numbers")
            own = optimizer.state.get(p, {})
            state = _state(own, rule, p)
            step = int(_plain(own["step"])) + 1 if "step" in own else 1
            found.append(Before(p, number, rule, _copy(p), _copy(p.grad), state, step))
    return found


def _state(own: Mapping[str, Any], rule: Rule, p: torch.Tensor) -> Mapping[str, NDArray]:
    found = {
        name: np.asarray(own[name]) if isinstance(own[name], float) else _copy(own[name])
        for name in rule.states
        if isinstance(own.get(name), torch.Tensor | float)
    }
    return rule.known(tuple(p.shape), found)


def _copy(tensor: torch.Tensor) -> NDArray:
    return numbers(tensor).copy()


def updates(
    optimizer: torch.optim.Optimizer,
    before: list[Before],
    name_of: Callable[[torch.Tensor], str],
    step: int | None = None,
) -> Iterator[Update]:
    """Yield the update of each parameter group."""
    together: dict[tuple[int, int], list[Before]] = {}
    for each in before:
        together.setdefault((each.number, step or each.step), []).append(each)
    for (_, t), members in together.items():
        moved = tuple(
            Moved(
                name_of(m.parameter),
                m.value,
                m.gradient,
                _copy(m.parameter),
                m.state,
                _state(optimizer.state.get(m.parameter, {}), m.rule, m.parameter),
                format_of(m.parameter),
                later=m.later,
            )
            for m in members
        )
        yield Update(members[0].rule, t, moved)
