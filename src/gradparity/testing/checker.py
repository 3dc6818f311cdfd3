"""The fixture `gradparity`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, overload

from ..comparisons.check.check import check, recordings_among
from ..comparisons.recording.record import record
from ..comparisons.recording.recording import Recording
from ..comparisons.report.report import Report
from .own_network import with_numbers
from .run.outcome import concluded, one_adapter, present, skip
from .run.settings import Settings

__all__ = ["Checker", "Recorded"]


class Checker:
    """Checks with the settings of a test; without parity the test fails with a diagnosis.

    ``gradparity(cases, *implementations, **options)`` is `gradparity.check` with these settings:
    the `Report` if there is parity, and an AssertionError with the diagnosis otherwise.  Without
    implementations it checks the chosen adapters.  Recordings have been judged with the settings of
    `record`, and only their verdict is taken.  `seed` is for the numbers a network is given.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __repr__(self) -> str:
        return f"<gradparity with {self.settings}>"

    def __call__(
        self,
        cases: Any,
        *implementations: Any,
        seed: int | None = None,
        **options: Any,
    ) -> Report:
        __tracebackhide__ = True
        if recordings_among(cases):
            return concluded(check(cases, *implementations, **options))
        settings = self.settings if seed is None else self.settings.changed(seed=seed)
        parameters = inspect.signature(check).parameters.values()
        known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        if unknown := sorted(set(options) - known):
            raise TypeError(f"gradparity is given {', '.join(unknown)}; it takes the keywords "
                            f"{', '.join(sorted(known | {'seed'}))}")  # fmt: skip
        chosen, absent = present(implementations or settings.names, settings.required)
        if not chosen:
            skip(absent)
        cases = with_numbers(cases, settings.seed)
        report = check(cases, *chosen, **{**settings.options, **options})
        return concluded(replace(report, skipped={**report.skipped, **absent}))

    def check_op(self, forward: Any, backward: Any, **options: Any) -> Report:
        """`gradparity.check_op`, with these settings unless others are given."""
        __tracebackhide__ = True
        import gradparity

        if isinstance(backward, str):  # an adapter, whose framework differentiates `forward`
            backward = one_adapter(backward, self.settings.required)
        options = {"seed": self.settings.seed, **self.settings.options, **options}
        return concluded(gradparity.check_op(forward, backward, **options))

    @overload
    def record(self, **options: Any) -> Recorded: ...

    @overload
    def record(self, f: Callable[..., Any], *args: Any, **options: Any) -> Recording: ...

    def record(
        self, f: Callable[..., Any] | None = None, *args: Any, **options: Any
    ) -> Recorded | Recording:
        """`gradparity.record`, with these settings unless others are given.

        The test fails with the diagnosis unless there is parity: with a function at once, as a
        context manager at the end of the block, unless the block raised.
        """
        __tracebackhide__ = True
        given = {n: v for n, v in self.settings.options.items() if n in ("allow", "strict")}
        if f is None:
            return Recorded({**given, **options})
        recording = record(f, *args, **{**given, **options})
        concluded(recording.report())
        return recording

    def align(self, one: Recording, other: Recording, **options: Any) -> Report:
        """`gradparity.align`: the report if two recorded programs are the same.

        Otherwise the test fails; the message begins with where they first part and why.
        """
        __tracebackhide__ = True
        import gradparity

        return concluded(gradparity.align(one, other, **options))

    def check_adapter(self, adapter: Any, **options: Any) -> Any:
        """`gradparity.testing.check_adapter`; skipped where the framework is not installed."""
        __tracebackhide__ = True
        from .conformance import check_adapter
        from .conformance.subject import Subject

        if absent := Subject(adapter).absent(self.settings.required):
            skip(absent)
        return check_adapter(adapter, **options)


class Recorded:
    """The block of ``with gradparity.record() as step``, whose end fails a test without parity."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.watched: AbstractContextManager[Recording] = record(**options)

    def __enter__(self) -> Recording:
        __tracebackhide__ = True
        self.step = self.watched.__enter__()
        return self.step

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        self.watched.__exit__(kind, error, traceback)
        if error is None:
            concluded(self.step.report())
