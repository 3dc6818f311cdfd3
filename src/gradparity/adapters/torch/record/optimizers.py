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
from torch.optim import optimizer as torch_optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from ....core.network.calls import Listener, Place, Unjudged
from ....core.optimizers.clipping import Clip, ClipByNorm, ClipByValue
from ....core.optimizers.rule import Rule
from ....core.optimizers.update import Clipping
from .accumulation import checksum
from .aten.tensors import format_of, is_plain, numbers
from .marks import names_of
from .optimizer_rules import Before, read, rule_of, updates
from .places import Names, source_line
from .step_gradients import HookWrappers, StepGradients

__all__ = ["watched_steps"]


_NO_RULE = "there is no rule for it; check_optimizer takes rule="
_SCALES = "it divides the gradients by the scale of a GradScaler"


class _Pending(NamedTuple):
    """A step that runs.

    Attributes
    ----------
    frame, place : its call, and where it is.
    before : the parameters before it.
    why : the reason why it is not judged; "" if it is.
    gradients : what happens to them; None for a step that computes them itself.
    """

    frame: FrameType
    place: Place
    before: list[Before]
    why: str
    gradients: StepGradients | None


class _Steps:
    """Tells a listener of steps and of clipping."""

    #: Hooks that are methods of such objects are not those of the program.
    of_recording = True

    def __init__(
        self,
        listener: Listener,
        names: Names,
        quietly: Callable[[], AbstractContextManager[None]],
        left_by_passes: Callable[[], dict[int, int]],
    ) -> None:
        self.listener, self.names, self.quietly = listener, names, quietly
        self.left_by_passes = left_by_passes
        self.hooks = HookWrappers(self._around)
        #: Checksums of the gradients that clippings left, by the id of the parameter.
        self._clipped: dict[int, int] = {}
        self._pending: dict[int, _Pending] = {}
        self._thread = get_ident()
        self._order = 2.0

    # ---- steps ----------------------------------------------------------------------------------

    def before(self, optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The hook before a step; arguments that it returns take the place of the step's own."""
        if get_ident() != self._thread:
            place = _place_of(optimizer)
            self.listener.step_not_judged(Unjudged(place, "it runs in another thread"))
            return None
        frame, computing = sys._getframe(1), None
        given = [a for a in (*args[1:], *kwargs.values()) if a is not None]
        with self.quietly():
            running = self._pending.get(id(optimizer))
            if running is not None and _is_in(running.frame, frame):
                # A derived class calls the step of its base: the whole is one step.
                if running.gradients is not None:
                    running.gradients.look()
                return None
            self._pending = {i: p for i, p in self._pending.items() if _is_in(p.frame, frame)}
            if not self._pending:
                self.hooks.unwrap()  # those of a step that raised
            place = replace(_place_of(optimizer), source=source_line())
            if not given:
                pending = self._read(optimizer, frame, place)
            elif len(given) == 1 and callable(given[0]):
                pending = _Pending(frame, place, [], "it does not call its closure", None)
                computing = self._computing(given[0], optimizer, pending)
            else:
                pending = _Pending(frame, place, [], "it takes other arguments", None)
            self._pending[id(optimizer)] = pending
            self._wrap_hooks(optimizer)
        if computing is None:
            return None
        return (
            tuple(computing if a is given[0] else a for a in args),
            {name: computing if a is given[0] else a for name, a in kwargs.items()},
        )

    def _computing(
        self, closure: Callable[[], Any], optimizer: Any, pending: _Pending
    ) -> Callable[[], Any]:
        """The closure of a step; what the step begins with is read as soon as it has returned."""
        values = _values(optimizer)
        calls = 0

        def computing() -> Any:
            nonlocal calls
            calls += 1
            loss = closure()
            with self.quietly():
                now = self._read(optimizer, pending.frame, pending.place)
                why = now.why
                if calls > 1 and not why:
                    why = "it calls its closure more than once"
                if _values(optimizer) != values and not why:
                    why = "it changes a parameter before its closure has computed the gradients"
                if why:
                    now = pending._replace(why=why)
                self._pending[id(optimizer)] = now
            return loss

        return computing

    def _tell_of_changes_before(self, optimizer: Any) -> None:
        """Tell which gradients are not those that the last pass, or the last clipping, left."""
        left, names, changed = self.left_by_passes(), self._named(optimizer), []
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            now = checksum(p.grad) if id(p) in left else 0
            if now and now not in (left[id(p)], self._clipped.get(id(p))):
                changed.append(names[id(p)])
        if changed:
            self.listener.changed_between(_place_of(optimizer), changed)

    def _wrap_hooks(self, optimizer: Any) -> None:
        for hooks, is_after in (
            (torch_optimizer._global_optimizer_pre_hooks, False),
            (optimizer._optimizer_step_pre_hooks, False),
            (optimizer._optimizer_step_post_hooks, True),
            (torch_optimizer._global_optimizer_post_hooks, True),
        ):
            self.hooks.wrap(hooks, is_after, _is_of_recording)

    def _around(self, hook: Any, is_after: bool, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """Run a hook of the program, and note what it changes."""
        pending = self._pending.get(id(optimizer)) if get_ident() == self._thread else None
        if pending is None or pending.gradients is None:
            return hook(optimizer, args, kwargs)
        gradients = pending.gradients
        with self.quietly():
            if is_after:
                _note_return(gradients, pending.frame, sys._getframe())
            gradients.look()
        (name,), before = names_of([hook]), gradients.hook
        gradients.hook = name
        try:
            return hook(optimizer, args, kwargs)
        finally:
            with self.quietly():
                gradients.look()
            gradients.hook = before

    def _read(self, optimizer: Any, frame: FrameType, place: Place) -> _Pending:
        """The state at the start of a step, or the reason why the step is not judged."""
        self._tell_of_changes_before(optimizer)
        why = _why_not_judged(optimizer)
        gradients = StepGradients(optimizer, has_rule=not why)
        if why:
            return _Pending(frame, place, [], why, gradients)

        def rule_for(group: Mapping[str, Any]) -> Rule | None:
            return rule_of(optimizer, group, exact=True)

        try:
            return _Pending(frame, place, read(optimizer, rule_for), "", gradients)
        except Exception as error:  # the program is not to end because of it
            return _Pending(frame, place, [], str(error).partition("\n")[0], gradients)

    def after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The hook after a step."""
        if get_ident() != self._thread:
            return
        with self.quietly():
            pending = self._pending.get(id(optimizer))
            if pending is None:
                return
            if pending.gradients is not None:
                _note_return(pending.gradients, pending.frame, sys._getframe())
            if pending.frame is sys._getframe(1):
                del self._pending[id(optimizer)]
                if not self._pending:
                    self.hooks.unwrap()
                self._tell(optimizer, pending)

    def _tell(self, optimizer: Any, pending: _Pending) -> None:
        names, gradients = self._named(optimizer), pending.gradients
        step = pending.place.function
        changes = [] if gradients is None else list(gradients.changes(step, names))
        place = self._numbered(pending.place) if changes else None
        for changed in changes:
            self.listener.gradient_changed(place or pending.place, changed)
        if pending.why:
            self.listener.step_not_judged(Unjudged(pending.place, pending.why))
            return
        before = pending.before if gradients is None else gradients.taken_by(pending.before)
        for update in updates(optimizer, before, lambda p: names[id(p)]):
            self.listener.updated(place or self._numbered(pending.place), update)
            place = None  # every group has a name of its own

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
                for gradients in self._followed():
                    gradients.look()
            found = clip(parameters, most, *args, **kwargs)
            with self.quietly():
                self._clipped |= {id(p): checksum(p.grad) for p in parameters}
                for gradients in self._followed():
                    gradients.clipped(parameters)
                self._tell_of_clipping(place, rule, float(most), before, parameters)
            return found

        return clipped

    def _followed(self) -> list[StepGradients]:
        """The gradients of the steps that run."""
        return [p.gradients for p in self._pending.values() if p.gradients is not None]

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


def _note_return(gradients: StepGradients, step: FrameType, inner: FrameType) -> None:
    """Note that the code of a step, or of the step of its base class, has returned."""
    at: FrameType | None = inner
    while at is not None and at.f_code is not step.f_code:
        at = at.f_back
    if at is step:
        gradients.over()
    else:
        gradients.taken()


def _place_of(optimizer: Any) -> Place:
    kind = type(optimizer).__name__
    return Place(kind, f"{kind}.step", "")


def _why_not_judged(optimizer: Any) -> str:
    """The reason why a step is not judged, or ""."""
    if any(rule_of(optimizer, group, exact=True) is None for group in optimizer.param_groups):
        return _NO_RULE
    if getattr(optimizer, "grad_scale", None) is not None:
        return _SCALES
    if getattr(optimizer, "found_inf", None) is not None:
        return "a GradScaler may tell it to leave the step out"
    return ""


def _values(optimizer: Any) -> list[bytes]:
    """The bytes of every parameter that is a dense array."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [numbers(p).tobytes() for p in parameters if is_plain(p)]


def _is_of_recording(hook: Any) -> bool:
    return bool(getattr(getattr(hook, "__self__", None), "of_recording", False))


@contextmanager
def watched_steps(
    listener: Listener,
    names: Names,
    quietly: Callable[[], AbstractContextManager[None]],
    left_by_passes: Callable[[], dict[int, int]],
) -> Iterator[None]:
    """Tell a listener of every step of an optimizer, and of clipped gradients, inside.

    Parameters
    ----------
    quietly : gives a context in which what runs is not watched.
    left_by_passes : gives checksums of the gradients that backward passes left, by the id of the
        parameter.
    """
    steps = _Steps(listener, names, quietly, left_by_passes)
    with ExitStack() as stack:
        stack.callback(steps.hooks.unwrap)
        for register, hook in (
            (register_optimizer_step_pre_hook, steps.before),
            (register_optimizer_step_post_hook, steps.after),
        ):
            handle = register(hook)
            stack.callback(handle.remove)
            if hook == steps.before:  # before any hook that changes gradients
                torch_optimizer._global_optimizer_pre_hooks.move_to_end(handle.id, last=False)
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
