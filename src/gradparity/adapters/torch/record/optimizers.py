"""See the steps of optimizers and the clipping of gradients while a recording runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from threading import get_ident
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch.nn import utils
from torch.nn.utils import clip_grad
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ....core.network.calls import Listener, Place, Unjudged
from ....core.optimizers.clipping import Clip, ClipByNorm, ClipByValue
from ....core.optimizers.rule import Rule
from ....core.optimizers.update import Clipping
from .aten.tensors import format_of, is_plain, numbers
from .optimizer_rules import Before, read, rule_of, updates
from .places import Names, source_line

__all__ = ["watched_steps"]


_NO_RULE = "there is no rule for it; check_optimizer takes rule="
_SCALES = "it divides the gradients by the scale of a GradScaler"


class _Pending(NamedTuple):
    """A step that runs: its call, its place, what was there before, or why it is not judged."""

    frame: FrameType
    place: Place
    before: list[Before]
    why: str


class _Steps:
    """Tells a listener of steps and of clipping."""

    def __init__(
        self, listener: Listener, names: Names, quietly: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.listener, self.names, self.quietly = listener, names, quietly
        self._pending: dict[int, _Pending] = {}
        self._thread = get_ident()
        self._order = 2.0

    # ---- steps ----------------------------------------------------------------------------------

    def before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The hook before a step."""
        if get_ident() != self._thread:
            kind = type(optimizer).__name__
            place = Place(kind, f"{kind}.step", "")
            self.listener.step_not_judged(Unjudged(place, "it runs in another thread"))
            return
        with self.quietly():
            frame, running = sys._getframe(1), self._pending.get(id(optimizer))
            if running is not None and _is_in(running.frame, frame):
                return  # a derived class calls the step of its base: the whole is one step
            self._pending[id(optimizer)] = self._read(optimizer, args, kwargs, frame)

    def _read(self, optimizer: Any, args: Any, kwargs: Any, frame: FrameType) -> _Pending:
        kind = type(optimizer).__name__
        place = Place(kind, f"{kind}.step", "", source_line())
        groups = optimizer.param_groups
        if any(rule_of(optimizer, group, exact=True) is None for group in groups):
            return _Pending(frame, place, [], _NO_RULE)
        if any(a is not None for a in (*args[1:], *kwargs.values())):
            return _Pending(frame, place, [], "it computes the gradients itself, by a closure")
        if getattr(optimizer, "grad_scale", None) is not None:
            return _Pending(frame, place, [], _SCALES)
        if getattr(optimizer, "found_inf", None) is not None:
            return _Pending(frame, place, [], "a GradScaler may tell it to leave the step out")

        def rule_for(group: Mapping[str, Any]) -> Rule | None:
            return rule_of(optimizer, group, exact=True)

        try:
            return _Pending(frame, place, read(optimizer, rule_for), "")
        except Exception as error:  # the program is not to end because of it
            return _Pending(frame, place, [], str(error).partition("\n")[0])

    def after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The hook after a step."""
        if get_ident() != self._thread:
            return
        with self.quietly():
            pending = self._pending.get(id(optimizer))
            if pending is not None and pending.frame is sys._getframe(1):
                del self._pending[id(optimizer)]
                self._tell(optimizer, pending)

    def _tell(self, optimizer: Any, pending: _Pending) -> None:
        why = pending.why
        if not why and any(_is_changed(each) for each in pending.before):
            why = "something changed a gradient while it ran"
        if why:
            self.listener.step_not_judged(Unjudged(pending.place, why))
            return
        names = self._named(optimizer)
        for update in updates(optimizer, pending.before, lambda p: names[id(p)]):
            self.listener.updated(self._numbered(pending.place), update)

    def _named(self, optimizer: Any) -> dict[int, str]:
        found: dict[int, str] = {}
        for group in optimizer.param_groups:
            given = group.get("param_names") or [""] * len(group["params"])
            for p, name in zip(group["params"], given, strict=False):
                found[id(p)] = self.names.known(p) or name or f"parameter {len(found) + 1}"
        return found

    def _numbered(self, place: Place) -> Place:
        return replace(place, node=self.names.numbered(place.node))

    # ---- clipping -------------------------------------------------------------------------------

    def normed(self, norm: Callable[..., Any]) -> Callable[..., Any]:
        """The function that computes the norm of several tensors, whose order is noted."""

        @wraps(norm)
        def computing(tensors: Any, norm_type: Any = 2.0, *args: Any, **kwargs: Any) -> Any:
            self._order = float(norm_type)
            return norm(tensors, norm_type, *args, **kwargs)

        return computing

    def clipping(
        self, clip: Callable[..., Any], rule: Callable[[float], Clip], name: str
    ) -> Callable[..., Any]:
        """A function that clips the gradients of parameters in place."""

        @wraps(clip)
        def clipped(parameters: Any, most: Any, *args: Any, **kwargs: Any) -> Any:
            if get_ident() != self._thread:
                return clip(parameters, most, *args, **kwargs)
            one = isinstance(parameters, torch.Tensor)
            parameters = [parameters] if one else list(parameters)
            place, before = Place(name, name, "", source_line()), {}
            with self.quietly():
                before = self._gradients(parameters)
            found = clip(parameters, most, *args, **kwargs)
            with self.quietly():
                self._tell_of_clipping(place, rule, float(most), before, parameters)
            return found

        return clipped

    def _gradients(self, parameters: list[torch.Tensor]) -> dict[str, Any]:
        there = [p for p in parameters if p.grad is not None]
        if not all(is_plain(p.grad) for p in there if p.grad is not None):
            return {}
        names = [self.names.known(p) or f"parameter {i + 1}" for i, p in enumerate(there)]
        return {
            name: numbers(p.grad).copy()
            for name, p in zip(names, there, strict=True)
            if p.grad is not None
        }

    def _tell_of_clipping(
        self,
        place: Place,
        rule: Callable[[float], Clip],
        most: float,
        before: dict[str, Any],
        parameters: list[torch.Tensor],
    ) -> None:
        after = self._gradients(parameters)
        if not before or list(after) != list(before):
            return
        try:
            clip = rule(most)
        except ValueError as why:  # another order, or an infinite limit
            self.listener.step_not_judged(Unjudged(place, str(why)))
            return
        formats = [format_of(p.grad) for p in parameters if p.grad is not None]
        precisions = dict(zip(before, formats, strict=True))
        self.listener.clipped(self._numbered(place), Clipping(clip, before, after, precisions))

    def by_norm(self, most: float) -> Clip:
        """The rule of `clip_grad_norm_`, with the order of the norm that was computed last."""
        return ClipByNorm(most, order=self._order)


def _is_in(frame: FrameType, inner: FrameType) -> bool:
    """Whether a call still runs, inside of which the inner one was made."""
    at: FrameType | None = inner
    while at is not None and at is not frame:
        at = at.f_back
    return at is frame


def _is_changed(before: Before) -> bool:
    """Whether a gradient is no longer the one that the step was to take."""
    grad = before.parameter.grad
    return grad is None or numbers(grad).tobytes() != before.gradient.tobytes()


@contextmanager
def watched_steps(
    listener: Listener, names: Names, quietly: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Tell a listener of every step of an optimizer, and of clipped gradients, inside.

    Parameters
    ----------
    quietly : gives a context in which what runs is not watched.
    """
    steps = _Steps(listener, names, quietly)
    with ExitStack() as stack:
        for register, hook in (
            (register_optimizer_step_pre_hook, steps.before),
            (register_optimizer_step_post_hook, steps.after),
        ):
            stack.callback(register(hook).remove)
        by_norm = steps.by_norm
        for owner, name, wrapper in (
            (clip_grad, "_get_total_norm", steps.normed),
            (clip_grad, "_clip_grads_with_norm_",
             lambda f: steps.clipping(f, by_norm, "clip_grad_norm")),
            (clip_grad, "clip_grad_value_",
             lambda f: steps.clipping(f, ClipByValue, "clip_grad_value")),
            (utils, "clip_grad_value_",
             lambda f: steps.clipping(f, ClipByValue, "clip_grad_value")),
        ):  # fmt: skip
            plain = getattr(owner, name, None)
            if plain is not None:
                setattr(owner, name, wrapper(plain))
                stack.callback(setattr, owner, name, plain)
        yield
