"""The fixture `gradparity`, and the treatment of an adapter that is not installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..comparisons.check.check import check
from ..comparisons.report.report import Report
from ..core.network.case import Case
from ..core.network.network import Network
from .run.failure import concluded
from .run.presence import one_adapter, present, skip
from .run.settings import PARSERS, Settings

__all__ = ["Checker", "accepted"]


class Checker:
    """Checks with the settings of a test; without parity it fails with a diagnosis.

    ``gradparity(cases, *implementations, **options)`` is `gradparity.check` with these settings:
    the `Report` if there is parity, and an AssertionError with the diagnosis otherwise.  Without
    implementations it checks the chosen adapters.  `seed` is of the numbers a network is given.
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
        settings = self.settings
        parameters = inspect.signature(check).parameters.values()
        known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        if unknown := sorted(set(options) - known):
            raise TypeError(f"gradparity is given {', '.join(unknown)}; it takes the keywords "
                            f"{', '.join(sorted(known | {'seed'}))}")  # fmt: skip
        seed = settings.seed if seed is None else PARSERS["seed"](seed)
        chosen, absent = present(implementations or settings.names, settings.required)
        if not chosen:
            skip(absent)
        report = check(with_numbers(cases, seed), *chosen, **{**settings.options, **options})
        return concluded(replace(report, skipped={**report.skipped, **absent}))

    def check_op(self, forward: Any, backward: Any, **options: Any) -> Report:
        """`gradparity.check_op`, with these settings where nothing else is said."""
        __tracebackhide__ = True
        import gradparity

        if isinstance(backward, str):  # an adapter, whose framework differentiates `forward`
            backward = one_adapter(backward, self.settings.required)
        check_op: Callable[..., Report] = gradparity.check_op
        return concluded(check_op(forward, backward, **{**self._for(check_op), **options}))

    def check_adapter(self, adapter: Any, **options: Any) -> Any:
        """`gradparity.testing.check_adapter`, with these settings where nothing else is said."""
        __tracebackhide__ = True
        from .conformance import check_adapter
        from .conformance.subject import Subject

        absent = Subject(adapter).absent
        if absent and not set(absent) & set(self.settings.required):
            skip(absent)
        found = check_adapter(adapter, **{**self._for(check_adapter), **options})
        return concluded(found) if isinstance(found, Report) else found

    def _for(self, function: Callable[..., Any]) -> dict[str, Any]:
        return accepted(function, {**self.settings.options, "seed": self.settings.seed})


def with_numbers(cases: Any, seed: int) -> Any:
    """Every network as a case, with numbers of this seed; anything else as it is."""
    if isinstance(cases, Network):
        return Case.random(cases, seed=seed)
    if isinstance(cases, Iterable) and not isinstance(cases, str):  # a str has no end of them
        return [with_numbers(case, seed) for case in cases]
    return cases


def accepted(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a function takes."""
    parameters = inspect.signature(function).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in options.items() if every or name in parameters}
