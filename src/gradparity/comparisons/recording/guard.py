"""`guard`: judge a step of a training loop now and then."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Literal

from ...core.arithmetic.received import check_flag, check_text, received
from ..explain.allowed import parse_allowed
from ..report.diagnosis import diagnosis
from ..report.report import Report
from .record import record, require_torch
from .recording import Recording
from .thinned import check_sample

__all__ = ["GradientError", "Guard", "guard"]

#: What to do about a report without parity.
OnFault = Literal["raise", "warn"] | Callable[[int, Report], object]
#: How many reports with parity a guard keeps; one without is always kept.
KEPT = 10
#: After so many blocks in a row in which PyTorch did nothing, a program of JAX is told so.
IDLE = 2
#: What to do instead of watching a block of JAX.
FOR_JAX = "for a step of JAX, call guard.record(loss, params, batch) in place of the block"


class GradientError(AssertionError):
    """A step of a training loop has no parity; the message is the diagnosis.

    Attributes
    ----------
    step : its number, from 1.
    report : everything that was found.
    """

    def __init__(self, step: int, report: Report) -> None:
        super().__init__(f"step {step}: {diagnosis(report)}")
        self.step, self.report = step, report


class Guard:
    """Judges every N-th step of a training loop; `guard` makes one.

    Attributes
    ----------
    steps : how many steps have begun.
    judged : how many of them were judged.
    reports : step -> its report: all those without parity, and the last few with it.
    """

    def __init__(
        self,
        every: int,
        first: bool,
        on_fault: OnFault,
        name: str,
        allow: Sequence[str],
        strict: bool,
        sample: int | None,
    ) -> None:
        self.every, self.first, self.on_fault = every, first, on_fault
        self.name, self.allow, self.strict = name, tuple(allow), strict
        self.sample = sample
        self.steps = self.judged = 0
        self.reports: dict[int, Report] = {}
        self._due = False
        self._inside = False
        self._idle = 0
        self._recording: Recording | None = None
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"<Guard {self.name!r}: {self.judged} of {self.steps} steps judged>"

    def __enter__(self) -> Guard:
        if self._inside:
            raise RuntimeError("guard: its block was entered inside itself; use one per loop")
        require_torch("guard", FOR_JAX)
        self._inside = True
        if self._counted():
            self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inside = False
        if self._recording is None:
            return
        recording, self._recording = self._recording, None
        observer = self._observer
        self._stack.close()
        recording.finish()
        self._idle = 0 if observer.saw_ops else self._idle + 1
        if error is None and self._idle == IDLE and "jax" in sys.modules:
            said = f"guard watches PyTorch, and none of it ran in {IDLE} blocks; {FOR_JAX}"
            warnings.warn(said, RuntimeWarning, stacklevel=2)
        # Without a backward pass the next step is judged instead.
        if error is None and recording.places:
            self._keep(recording)

    def record(
        self,
        f: Callable[..., Any],
        *args: Any,
        argnums: int | Sequence[int] = 0,
        has_aux: bool = False,
        taps: bool = True,
    ) -> None:
        """Begin a step, and judge the gradient of a function in it if the step is due.

        This is for JAX, whose compiled steps no block can watch: give it the function that the
        step differentiates and what it is given there, before the step.  In other steps `f` is not
        called.

        Parameters
        ----------
        f, *args, argnums, has_aux, taps : as for `gradparity.record`.

        Raises
        ------
        TypeError, ValueError : as `gradparity.record`.
        GradientError : with ``on_fault="raise"``.

        >>> import gradparity as gp, jax, jax.numpy as jnp
        >>> def loss(w, x):
        ...     return jnp.tanh(x @ w).sum()
        >>> w, guard = jnp.ones(3), gp.guard(every=2)
        >>> for x in jnp.eye(3):
        ...     guard.record(loss, w, x)
        ...     w = w - 0.1 * jax.grad(loss)(w, x)
        >>> guard
        <Guard 'step': 2 of 3 steps judged>
        """
        if self._inside:
            raise RuntimeError("guard: record was called inside its block; use one of the two")
        if self._counted():
            settings: dict[str, Any] = {"argnums": argnums, "has_aux": has_aux, "taps": taps}
            settings |= {"allow": self.allow, "strict": self.strict, "sample": self.sample}
            self._keep(record(f, *args, name=f"{self.name} {self.steps}", **settings))

    def _counted(self) -> bool:
        """Count a step that begins, and tell whether one is due."""
        self.steps += 1
        if self.steps % self.every == 0 or (self.first and self.steps == 1):
            self._due = True
        return self._due

    def _begin(self) -> None:
        from ...adapters.torch.record.observer import observing

        name = f"{self.name} {self.steps}"
        recording = Recording(name, allow=self.allow, strict=self.strict, sample=self.sample)
        self._observer = self._stack.enter_context(observing(recording))
        self._recording = recording

    def _keep(self, recording: Recording) -> None:
        self._due = False
        self.judged += 1
        report = recording.report()
        self.reports[self.steps] = report
        right = [step for step, each in self.reports.items() if each]
        for step in right[:-KEPT]:
            del self.reports[step]
        if report:
            return
        if self.on_fault == "raise":
            raise GradientError(self.steps, report)
        if callable(self.on_fault):
            self.on_fault(self.steps, report)
        else:
            said = f"step {self.steps}: {diagnosis(report)}"
            warnings.warn(said, RuntimeWarning, stacklevel=3)


def guard(
    *,
    every: int = 1000,
    first: bool = True,
    on_fault: OnFault = "raise",
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
    sample: int | None = None,
) -> Guard:
    """Judge a step of a training loop now and then, as `record` does.

    **PyTorch.**  A block holds one step, forward pass and ``backward()``.  Every other step runs as
    it would without the guard.  If nothing is differentiated in a step that was to be judged, the
    next one is judged instead.

    **JAX.**  ``guard.record(loss, params, batch)`` before each step, in place of a block.  A
    `RuntimeWarning` says so if PyTorch does nothing in two blocks in a row.

    Parameters
    ----------
    every : judge the steps with numbers that this divides; steps count from 1.
    first : judge the first step too.
    on_fault : what to do about a step without parity: "raise" a `GradientError`, "warn" with the
        diagnosis, or a function that is given the number of the step and its `Report`.
    name : shown in reports, with the number of the step.
    allow : conventions that pass.
    strict : whether `lossy` fails, and all nodes have to be judged, not 95 % of them.
    sample : PyTorch: of large matrix products, convolutions and attention, judge so many channels.

    Returns
    -------
    Guard : for ``with`` around each step, or for `Guard.record` before it.

    Raises
    ------
    TypeError, ValueError : an argument that does not fit.
    GradientError : at the end of the block, with ``on_fault="raise"``.
    RuntimeError : a block is entered, and PyTorch has not been imported.

    >>> import gradparity as gp, torch
    >>> w = torch.ones(3, requires_grad=True)
    >>> guard = gp.guard(every=2)
    >>> for _ in range(4):
    ...     with guard:
    ...         torch.tanh(w).sum().backward()
    >>> guard
    <Guard 'step': 3 of 4 steps judged>
    """
    if isinstance(every, bool) or not isinstance(every, int):
        raise TypeError(f"every is {received(every)}; give a number of steps, such as 1000")
    if every < 1:
        raise ValueError(f"every is {every}; give a number of steps from 1 on")
    if not callable(on_fault) and on_fault not in ("raise", "warn"):
        raise ValueError(
            f'on_fault is {received(on_fault)}; give "raise", "warn", or a function of the number '
            "of a step and its report"
        )
    check_flag("first", first)
    check_text("name", name)
    check_flag("strict", strict)
    check_sample("guard", sample)
    parse_allowed(allow)
    return Guard(every, first, on_fault, name, allow, strict, sample)
