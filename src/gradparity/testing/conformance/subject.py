"""An adapter under examination, and the few questions that the checks share."""

from __future__ import annotations

import re
import unittest
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from ...adapters.base import GROUP, INSTALL, AdapterError, DeviceError, InPlaceError, available
from ...comparisons.cases.suite import gated
from ...comparisons.check.check import check
from ...comparisons.report.diagnosis import diagnosis
from ...comparisons.report.report import Report
from ...core import (
    L2,
    Affine,
    Case,
    CrossEntropy,
    Divergence,
    LinearLoss,
    Network,
    ReLU,
    Sigmoid,
    Tanh,
    Trace,
    layered,
)
from ...core.arithmetic.arrays import NDArray
from ...core.network.nodes import ERR
from ...core.network.quantity import Quantity, by_quantity

__all__ = ["Refused", "Subject", "array_fault", "arrays", "expect"]


class Subject:
    """One adapter: by its registered name, itself, or its class.

    Unlike `gradparity.adapter`, which refuses what is incomplete, so that all of it can be said.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self._known: dict[Divergence, bool] = {}

    @cached_property
    def adapter(self) -> Any:
        """The adapter itself, made once.

        Raises
        ------
        AdapterError : no such adapter, or it cannot be loaded.
        """
        if not isinstance(self.given, str | type):
            return self.given
        if isinstance(self.given, type):
            make: Callable[[], Any] = self.given
            where = self.given.__qualname__
        else:
            points = [p for p in entry_points(group=GROUP) if p.name == self.given]
            if not points:
                raise AdapterError(
                    f"no adapter is called {self.given!r}; registered are {available()}: install "
                    f"the package, or declare {self.given!r} under "
                    f"[project.entry-points.{GROUP!r}]"
                )
            make, where = lambda: points[0].load()(), points[0].value
        try:
            return make()
        except Exception as error:  # another's code may raise anything when it is loaded
            remedy = INSTALL.get(str(self.given), "install what it needs")
            raise AdapterError(f"{where} cannot be loaded ({error!r}); {remedy}") from error

    @cached_property
    def unusable(self) -> AdapterError | None:
        """Why there is no adapter; None if there is."""
        try:
            _ = self.adapter
        except AdapterError as error:
            return error
        return None

    def absent(self, required: Iterable[str]) -> dict[str, str]:
        """Name -> why, if the framework is merely not installed and not required; else empty."""
        error = self.unusable
        merely = error is not None and isinstance(error.__cause__, ModuleNotFoundError)
        name = self.given if isinstance(self.given, str) else getattr(self.given, "name", "adapter")
        return {str(name): str(error)} if merely and name not in required else {}

    @property
    def name(self) -> str:
        return str(getattr(self.adapter, "name", type(self.adapter).__name__))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Those of float64 and float32 that the adapter does not refuse.

        Raises
        ------
        AssertionError : it refuses both.
        """
        return self._smallest[1]

    def small(self, dtype: str = "", batch: int = 5) -> Case:
        """A small case of ops that the adapter has; by default in the widest dtype it has."""
        network, dtypes = self._smallest
        return Case.random(network, batch=batch, seed=1, dtype=dtype or dtypes[0])

    @cached_property
    def _smallest(self) -> tuple[Network, tuple[str, ...]]:
        """The first network that runs, and in which of float64 and float32."""
        unknown = None
        for network in _small_networks():
            refused: dict[str, AdapterError] = {}
            try:
                for dtype in ("float64", "float32"):
                    try:
                        self.run(Case.random(network, batch=5, seed=1, dtype=dtype))
                    except AdapterError as error:
                        refused[dtype] = error
            except Refused as error:
                unknown = error
                continue
            said = "; ".join(f"{dtype}: {error}" for dtype, error in refused.items())
            expect(len(refused) < 2, f"neither float64 nor float32 runs: {said}")
            return network, tuple(d for d in ("float64", "float32") if d not in refused)
        raise AssertionError(
            f"not even an Affine with one of the plain divergences runs: {unknown}; "
            "begin with Affine and LinearLoss"
        )

    @property
    def divergence(self) -> Divergence:
        """One that the adapter has, for outputs of any kind and size where there is such a one."""
        found = (each for each in (L2(), LinearLoss()) if self.has(each))
        own = self.small().network.divergence
        assert own is not None
        return next(found, own)

    def has(self, divergence: Divergence) -> bool:
        """Whether the adapter does not refuse this divergence."""
        if divergence not in self._known:
            net = layered([node.op for node in self.small().network.nodes], divergence)
            case = Case.random(net, dtype=self.dtypes[0])
            self._known[divergence] = bool(self.accepted([case]))
        return self._known[divergence]

    def adapted(self, case: Case) -> Case:
        """The case; with LinearLoss or L2 where the adapter has not its divergence."""
        net = case.network
        if net.divergence is None or self.has(net.divergence):
            return case
        for divergence in (LinearLoss(), L2()):
            if self.has(divergence):
                other = net.changed(divergence)
                d = np.random.default_rng(8).standard_normal(case.shapes[net.output])
                return Case(other, case.params, case.inputs, d, case.name, twin=case.twin)
        return case

    def gated(self) -> list[Case]:
        """The case of branches; none where the adapter has not the ops for it."""
        return self.accepted([self.adapted(gated())])

    def run(self, case: Case, **how: Any) -> Trace:
        """The trace of a case.

        Raises
        ------
        Refused : the adapter says that it has not an op or a divergence of the case.
        AssertionError : it returned something else.
        """
        with _refusing(case.network):
            trace = self.adapter.run(case, **how)
        expect(
            isinstance(trace, Trace),
            f"run returned {type(trace).__name__}; return a gradparity.Trace",
        )
        return trace  # type: ignore[no-any-return]

    def first(self, *cases: Case) -> Case:
        """The first case that the adapter does not refuse, or the last."""
        for case in cases[:-1]:
            try:
                self.run(case)
            except Refused:
                continue
            return case
        return cases[-1]

    def accepted(self, cases: Iterable[Case]) -> list[Case]:
        """Those of the cases that the adapter does not refuse."""
        found = []
        for case in cases:
            with suppress(Refused):
                self.run(case.astype(self.dtypes[0]))
                found.append(case)
        return found

    def buildable(self, networks: Iterable[Network]) -> Network:
        """The first that the adapter builds.

        Raises
        ------
        Refused : there is none.
        """
        refused = Refused("no network")
        for network in networks:
            try:
                with _refusing(network):
                    self.adapter.build(network, Case.random(network, dtype=self.dtypes[0]).params)
            except Refused as error:
                refused = error
                continue
            return network
        raise refused

    def has_parity(self, cases: Sequence[Case], dtypes: Sequence[str] | None = None) -> Report:
        """The report on these cases, which must be one of parity.

        Raises
        ------
        Refused : the adapter refuses some of them, and there is parity in the rest.
        """
        dtypes = dtypes or self.dtypes
        report = check(cases, self.adapter, dtypes=dtypes)
        if report:
            return report
        kept, refused = [], None
        for case in cases:  # what was refused or raised is told as such, and not as a difference
            try:
                for dtype in dtypes:
                    self.run(case.astype(dtype))
                kept.append(case)
            except Refused as error:
                refused = error
        if refused is None:
            raise AssertionError(diagnosis(report))
        if kept:
            self.has_parity(kept, dtypes)
        raise refused


class Refused(unittest.SkipTest):
    """The adapter says, as it should, that it has not an op or a divergence."""


@contextmanager
def _refusing(network: Network) -> Iterator[None]:
    """An AdapterError that names an op or the divergence of the network is a refusal of it."""
    try:
        yield
    except (DeviceError, InPlaceError):
        raise
    except AdapterError as error:
        things: list[Any] = [*(node.op for node in network.nodes), network.divergence]
        things += [step.op for step in network.body]
        names = {name for thing in things for name in (thing.name, type(thing).__name__)}
        if any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names):
            raise Refused(str(error)) from error
        raise


def _small_networks() -> Iterator[Network]:
    """Two layers and a smoothed cross-entropy on class labels; then what is simpler."""
    for divergence in (CrossEntropy(eps=0.01), CrossEntropy(), L2(), LinearLoss()):
        for between in ([ReLU()], [Tanh()], [Sigmoid()], []):
            yield layered([Affine(3, 4), *between, Affine(4, 2)], divergence)


def expect(holds: Any, otherwise: str) -> None:
    """An assertion that -O does not remove.

    Raises
    ------
    AssertionError : it does not hold.
    """
    if not holds:
        raise AssertionError(otherwise)


def arrays(trace: Trace) -> dict[Quantity, NDArray]:
    """Every array of a trace under a name of its own."""
    return {q: np.asarray(array) for q, array in by_quantity(trace).items() if q != ERR}


def array_fault(found: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Describe the fault of an array of a trace and its remedy; return "" for a right one."""
    if type(found) is not np.ndarray:
        return f"is a {type(found).__module__}.{type(found).__name__}; give np.array(...)"
    if found.dtype != dtype:
        return f"has dtype {found.dtype}, expected {dtype}: compute in the case's own"
    if found.shape != shape:
        return f"has shape {found.shape}, expected {shape}"
    return ""
