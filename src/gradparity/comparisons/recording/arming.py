"""Start a recording in a program that runs anyway, and stop it after one training step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple

from ...core.network.calls import Call, Listener, Place, Sum, Unjudged
from ...core.optimizers.update import ChangedGradient, Clipping, Update
from .recording import Recording

__all__ = ["Arming"]

#: The functions of `torch.autograd` that every backward pass of the user's code goes through.
PASSES = ("backward", "grad")


class _Switch(Listener):
    """Hands on what a program does until it is switched off, or judging it raises an error.

    Attributes
    ----------
    passed : whether a backward pass has ended; what optimizers do before is not handed on.
    stepped : whether an optimizer has made a step since.
    error : what judging raised.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.passed = self.stepped = False
        self.error: Exception | None = None

    def off(self) -> None:
        self.listener = Listener()

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # the program itself is not to end because of it
            self.error = error
            self.off()

    def _tell_of_step(self, tell: Callable[[], None]) -> None:
        if self.passed:
            self._tell(tell)

    def expected(self, elements: int) -> None:
        self._tell(lambda: self.listener.expected(elements))

    def called(self, call: Call) -> None:
        self._tell(lambda: self.listener.called(call))

    def summed(self, total: Sum) -> None:
        self._tell(lambda: self.listener.summed(total))

    def not_judged(self, what: Unjudged) -> None:
        self._tell(lambda: self.listener.not_judged(what))

    def updated(self, place: Place, update: Update) -> None:
        self.stepped = self.passed
        self._tell_of_step(lambda: self.listener.updated(place, update))

    def clipped(self, place: Place, clipping: Clipping) -> None:
        self._tell_of_step(lambda: self.listener.clipped(place, clipping))

    def gradient_changed(self, place: Place, changed: ChangedGradient) -> None:
        self._tell_of_step(lambda: self.listener.gradient_changed(place, changed))

    def changed_between(self, place: Place, names: Sequence[str]) -> None:
        self._tell_of_step(lambda: self.listener.changed_between(place, names))

    def step_not_judged(self, what: Unjudged) -> None:
        self.stepped = self.passed
        self._tell_of_step(lambda: self.listener.step_not_judged(what))

    def sampled(self, node: str, steps: int, judged: int) -> None:
        self._tell(lambda: self.listener.sampled(node, steps, judged))


class _Running(NamedTuple):
    """A recording that runs, and what ends it."""

    recording: Recording
    switch: _Switch
    observer: Any
    stack: ExitStack


class Arming:
    """Record the training step of the N-th backward pass of a program.

    A recording begins where the program imports PyTorch, or where an earlier backward pass has
    ended.  It ends with the step of an optimizer that comes after the N-th backward pass; without
    one, where the next backward pass begins or the program ends.  Backward passes that make a graph
    of their own (``create_graph=True``) belong to the step of the next one, and those that raise do
    not count.  Only the thread in which `arm` was called is watched, and no other process.

    Attributes
    ----------
    passes : how many backward passes have ended.
    elsewhere : how many were seen on other threads.
    error : what judging the step raised; the program does not see it.

    Parameters
    ----------
    new : makes the recording.
    judged : called with it as soon as it has ended.
    step : N.
    together : how many backward passes it records, the N-th and those before it.
    """

    #: Its hooks of optimizers are not those of the program.
    of_recording = True

    def __init__(
        self,
        new: Callable[[], Recording],
        judged: Callable[[Recording], None],
        step: int = 1,
        together: int = 1,
    ) -> None:
        self.new, self.judged, self.step = new, judged, step
        self.begin = max(step - together, 0)
        self.passes = self.elsewhere = 0
        self.error: Exception | None = None
        self._plain: dict[str, Any] = {}
        self._recording: _Running | None = None
        self._hook: Any = None
        self._thread = 0
        self._done = False

    def arm(self) -> None:
        """Follow the backward passes of PyTorch, which has been imported."""
        import torch

        self._thread = threading.get_ident()
        for name in PASSES:
            self._plain[name] = getattr(torch.autograd, name)
            setattr(torch.autograd, name, self._followed(self._plain[name]))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.disarm)
        if self.begin == 0:
            self._start()

    def disarm(self) -> None:
        """Leave PyTorch as it was; what has been recorded is dropped."""
        self._stop()
        self._done = True
        if self._hook is not None:
            self._hook.remove()
        if self._plain:
            import torch

            for name, plain in self._plain.items():
                if getattr(getattr(torch.autograd, name), "__wrapped__", None) is plain:
                    setattr(torch.autograd, name, plain)
            self._plain = {}

    def wait(self) -> None:
        """The program has ended: judge the step, unless it has been."""
        if self.passes == self.step:
            self._end()

    def _followed(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        taken = signature(plain)

        @wraps(plain)
        def followed(*args: Any, **kwargs: Any) -> Any:
            nested = torch._C._current_graph_task_id() != -1
            if self._done or nested or _makes_a_graph(taken, args, kwargs):
                return plain(*args, **kwargs)
            if threading.get_ident() != self._thread:
                self.elsewhere += 1
                return plain(*args, **kwargs)
            if self.passes == self.step:  # no optimizer has made a step in between
                self._end()
                return plain(*args, **kwargs)
            try:
                out = plain(*args, **kwargs)
            except BaseException:
                if self._stop() is not None:
                    self._start()
                raise
            self._passed()
            return out

        return followed

    def _passed(self) -> None:
        """A backward pass has ended."""
        self.passes += 1
        if self._recording is not None:
            self._recording.switch.passed = True
        if self.passes == self.begin:
            self._start()
        elif self.passes == self.step:
            from torch.optim.optimizer import register_optimizer_step_post_hook

            if self._recording is not None:
                self._recording.observer.end_forward()
            # It comes after the hook of the recording, which tells of the step.
            self._hook = register_optimizer_step_post_hook(self._stepped)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """An optimizer has made a step, or that of its base class, after the last pass."""
        from torch.optim.optimizer import _global_optimizer_post_hooks as hooks

        # Hooks may be removed while PyTorch calls them once none is left to call.
        is_last = self._hook is not None and next(reversed(hooks)) == self._hook.id
        if is_last and self._recording is not None and self._recording.switch.stepped:
            self._end()

    def _end(self) -> None:
        """The step has ended."""
        recording = self._stop(keep=True)
        self.disarm()
        if recording is not None:
            self.judged(recording)

    def _start(self) -> None:
        from ...adapters.torch.record.observer import observing

        recording, stack = self.new(), ExitStack()
        switch = _Switch(recording)
        with _modes_set_aside(but=0):
            observer = stack.enter_context(observing(switch))
        self._recording = _Running(recording, switch, observer, stack)

    def _stop(self, *, keep: bool = False) -> Recording | None:
        if self._recording is None:
            return None
        (recording, switch, _, stack), self._recording = self._recording, None
        if not keep:
            switch.off()
        with _modes_set_aside(but=1):
            stack.close()
        self.error = switch.error
        recording.finish()
        return recording


def _makes_a_graph(taken: Any, args: Any, kwargs: Any) -> bool:
    try:
        return bool(taken.bind(*args, **kwargs).arguments.get("create_graph"))
    except TypeError:  # PyTorch says what is wrong with them
        return False


@contextmanager
def _modes_set_aside(*, but: int) -> Iterator[None]:
    """Set aside the dispatch modes that the program has entered, all but the lowest few.

    A program leaves its modes in its own order, so that one of ours has to be below them.
    """
    from torch.utils import _python_dispatch as dispatch

    aside = [dispatch._pop_mode() for _ in dispatch._get_current_dispatch_mode_stack()[but:]]
    try:
        yield
    finally:
        for mode in reversed(aside):
            dispatch._push_mode(mode)
