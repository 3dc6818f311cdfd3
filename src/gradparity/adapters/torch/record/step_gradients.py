"""Follow the gradients of parameters while a step of an optimizer runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import replace
from functools import wraps
from typing import Any

import torch

from ....core.arithmetic.arrays import NDArray
from ....core.optimizers.update import ChangedGradient
from .aten.tensors import format_of, is_plain, numbers
from .optimizer_rules import Before

__all__ = ["HookWrappers", "StepGradients"]


class StepGradients:
    """The gradients of one step: which it takes, and what changes them while it runs.

    A gradient may be cleared once it was used, as by `zero_grad` at the end of a step.

    Parameters
    ----------
    has_rule : whether the step is held to a rule; without one, its own code may change gradients.

    Attributes
    ----------
    used : the gradient that the step takes, by the id of the parameter; None for none.
    later : the gradient after the step, where the step's own code changed it and may have taken
        either.
    hook : the name of the hook that runs; "" for the step's own code.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, has_rule: bool) -> None:
        self.has_rule = has_rule
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._first = {id(p): _copied(p) for p in self.parameters}
        self._now, self.used = dict(self._first), dict(self._first)
        self.later: dict[int, NDArray] = {}
        self.hook = ""
        self._by: dict[int, dict[str, None]] = {}
        self._is_used = self._is_over = False

    def look(self) -> list[int]:
        """Note what has changed since the last look, and return the ids of the parameters."""
        changed = []
        for p in self.parameters:
            key, now = id(p), _gradient(p)
            if _same(now, self._now[key]):
                continue
            now = self._now[key] = None if now is None else now.copy()
            if not self._is_used:
                self.used[key] = now
            is_cleared = now is None or not now.any()
            if (self._is_used and is_cleared) or not (self.hook or self.has_rule):
                continue
            self._by.setdefault(key, {})[self.hook] = None
            changed.append(key)
        return changed

    def taken(self) -> None:
        """The step of the base class has returned: the gradients are used."""
        self._is_used = True

    def over(self) -> None:
        """The step's own code has returned."""
        if self._is_over:
            return
        was_used, self._is_over, self._is_used = self._is_used, True, True
        for key in self.look():
            now = self._now[key]
            if not was_used and now is not None:
                self.later[key] = now

    def clipped(self, parameters: Iterable[torch.Tensor]) -> None:
        """Take gradients as they are now, after a clipping that was seen."""
        for p in parameters:
            if id(p) in self._now:
                self._now[id(p)] = _copied(p)
                if not self._is_used:
                    self.used[id(p)] = self._now[id(p)]

    def taken_by(self, before: Iterable[Before]) -> list[Before]:
        """Parameters with the gradients that the step takes; those without one are left out."""
        return [
            replace(each, gradient=used, later=self.later.get(id(each.parameter)))
            for each in before
            if (used := self.used[id(each.parameter)]) is not None
        ]

    def changes(self, step: str, names: dict[int, str]) -> Iterator[ChangedGradient]:
        """Every gradient that something has changed, by the names of the parameters."""
        for p in self.parameters:
            by = self._by.get(id(p))
            if by is None:
                continue
            before, after = self._first[id(p)], self._now[id(p)]
            if self._is_used and (after is None or not after.any()):
                after = self.used[id(p)]  # it was cleared afterwards
            yield ChangedGradient(
                names[id(p)],
                step,
                before,
                after,
                format_of(p),
                tuple(filter(None, by)),
                by_step="" in by,
            )


def _gradient(p: torch.Tensor) -> NDArray | None:
    """The gradient as it is now; None for none, and for one that is not a plain array."""
    return None if p.grad is None or not is_plain(p.grad) else numbers(p.grad)


def _copied(p: torch.Tensor) -> NDArray | None:
    now = _gradient(p)
    return None if now is None else now.copy()


def _same(one: NDArray | None, other: NDArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and one.tobytes() == other.tobytes()


class HookWrappers:
    """Wrappers around the hooks of a step, so that what each changes is known.

    Parameters
    ----------
    around : called with a hook, whether it runs after the step, and the arguments of the hook;
        it calls the hook.
    """

    def __init__(self, around: Callable[..., Any]) -> None:
        self.around = around
        self._wrapped: list[tuple[MutableMapping[int, Any], int, Any, Any]] = []

    def wrap(
        self, hooks: MutableMapping[int, Any], is_after: bool, left: Callable[[Any], bool]
    ) -> None:
        """Put a wrapper in the place of every hook, but for those that are to be left."""
        there = [wrapper for *_, wrapper in self._wrapped]
        for key, hook in list(hooks.items()):
            if not left(hook) and hook not in there:
                wrapper = self._wrapper(hook, is_after)
                hooks[key] = wrapper
                self._wrapped.append((hooks, key, hook, wrapper))

    def _wrapper(self, hook: Any, is_after: bool) -> Any:
        @wraps(hook)
        def wrapper(optimizer: Any, args: Any, kwargs: Any) -> Any:
            return self.around(hook, is_after, optimizer, args, kwargs)

        return wrapper

    def unwrap(self) -> None:
        """Put every hook back in its place."""
        for hooks, key, hook, wrapper in reversed(self._wrapped):
            if hooks.get(key) is wrapper:
                hooks[key] = hook
        self._wrapped.clear()
