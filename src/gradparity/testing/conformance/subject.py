"""An adapter under examination, and the few questions that the checks share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import entry_points
from inspect import isclass
from typing import Any

import numpy as np

from ...adapters.base import GROUP, AdapterError, available
from ...comparisons.check import check
from ...comparisons.diagnosis import diagnosis
from ...comparisons.report import Report
from ...core import Affine, Case, CrossEntropy, ReLU, Trace, layered
from ...core.arrays import NDArray

__all__ = ["Subject", "array_fault", "arrays", "expect", "small"]


class Subject:
    """One adapter: by its registered name, itself, or its class.

    Unlike `gradparity.adapter`, which refuses what is incomplete, so that all of it can be said.
    """

    def __init__(self, given: Any) -> None:
        self.given = given

    @cached_property
    def adapter(self) -> Any:
        """The adapter itself, made once.

        Raises
        ------
        AdapterError : no such adapter, or it cannot be loaded.
        """
        if not isinstance(self.given, str):
            return self.given() if isclass(self.given) else self.given
        points = [p for p in entry_points(group=GROUP) if p.name == self.given]
        if not points:
            raise AdapterError(
                f"no adapter is called {self.given!r}; registered are {available()}: install the "
                f"package, or declare {self.given!r} under [project.entry-points.{GROUP!r}]"
            )
        try:
            return points[0].load()()
        except Exception as error:  # another's code may raise anything when it is loaded
            raise AdapterError(f"{points[0].value} cannot be loaded ({error!r})") from error

    @property
    def name(self) -> str:
        return str(getattr(self.adapter, "name", type(self.adapter).__name__))

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """Those of float64 and float32 that the adapter does not refuse.

        Raises
        ------
        AssertionError : it refuses both.
        """
        refused: dict[str, AdapterError] = {}
        for dtype in ("float64", "float32"):
            try:
                self.adapter.run(small(dtype))
            except AdapterError as error:
                refused[dtype] = error
        expect(len(refused) < 2, f"neither float64 nor float32 runs: {list(refused.values())}")
        return tuple(d for d in ("float64", "float32") if d not in refused)

    def run(self, case: Case, **how: Any) -> Trace:
        """The trace of a case."""
        trace = self.adapter.run(case, **how)
        expect(
            isinstance(trace, Trace),
            f"run returned {type(trace).__name__}; return a gradparity.Trace",
        )
        return trace  # type: ignore[no-any-return]

    def small(self) -> Case:
        """A small case in the widest dtype the adapter has."""
        return small(self.dtypes[0])

    def has_parity(self, cases: Sequence[Case], dtypes: Sequence[str] | None = None) -> Report:
        """The report on these cases, which must be one of parity."""
        report = check(cases, self.adapter, dtypes=dtypes or self.dtypes)
        expect(report, diagnosis(report))
        return report


def expect(holds: Any, otherwise: str) -> None:
    """An assertion that -O does not remove.

    Raises
    ------
    AssertionError : it does not hold.
    """
    if not holds:
        raise AssertionError(otherwise)


def small(dtype: str = "float64", batch: int = 5) -> Case:
    """Two layers and a smoothed cross-entropy on class labels."""
    net = layered([Affine(3, 4), ReLU(), Affine(4, 2)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=batch, seed=1, dtype=dtype)


def arrays(trace: Trace) -> dict[str, NDArray]:
    """Every array of a trace under a name of its own."""
    found: dict[str, Any] = {"Div": trace.Div}
    found |= {f"value {name}": array for name, array in trace.value.items()}
    found |= {f"grad {name}": array for name, array in trace.grad.items()}
    found |= {f"grad {a} -> {b}": array for (a, b), array in trace.edge_grad.items()}
    return {name: np.asarray(array) for name, array in found.items()}


def array_fault(found: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """What is wrong with an array of a trace, and what to do; empty where nothing is."""
    if type(found) is not np.ndarray:
        return f"is a {type(found).__module__}.{type(found).__name__}; give np.array(...)"
    if found.dtype != dtype:
        return f"has dtype {found.dtype}, expected {dtype}: compute in the case's own"
    if found.shape != shape:
        return f"has shape {found.shape}, expected {shape}"
    return ""
