"""The adapter under examination, with helpers that the checks share."""

from __future__ import annotations

import re
import unittest
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

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


T = TypeVar("T")
Found = TypeVar("Found")


class Subject:
    """One adapter, given by its registered name, itself, or its class.

    Unlike `gradparity.get_adapter` it accepts an incomplete adapter, so that every fault can be
    reported.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self._known: dict[Divergence, bool] = {}

    @cached_property
    def adapter(self) -> Any:
        """The adapter itself, made once.

        Raises
        ------
        AdapterError : no adapter has this name, or it cannot be loaded.
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
        except (Exception, SystemExit) as error:  # another's code may do anything when loaded
            remedy = INSTALL.get(str(self.given), "install what it needs")
            raise AdapterError(f"{where} cannot be loaded ({error!r}); {remedy}") from error

    @cached_property
    def unusable(self) -> AdapterError | None:
        """The error that says why the adapter cannot be loaded; None if it can."""
        try:
            _ = self.adapter
        except AdapterError as error:
            return error
        return None

    def absent(self, required: Iterable[str]) -> dict[str, str]:
        """Name -> reason, if the framework is only not installed and not required; else empty."""
        error = self.unusable
        merely = error is not None and isinstance(error.__cause__, ModuleNotFoundError)
        name = self.given if isinstance(self.given, str) else getattr(self.given, "name", "adapter")
        return {str(name): str(error)} if merely and name not in required else {}

    @property
    def name(self) -> str:
        return str(getattr(self.adapter, "name", type(self.adapter).__name__))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Which of float64 and float32 the adapter supports.

        Raises
        ------
        AssertionError : the adapter supports neither.
        """
        return self._smallest[1]

    def small(self, dtype: str = "", batch: int = 5) -> Case:
        """A small case of ops that the adapter supports; by default in its widest dtype."""
        network, dtypes = self._smallest
        return Case.random(network, batch=batch, seed=1, dtype=dtype or dtypes[0])

    @cached_property
    def _smallest(self) -> tuple[Network, tuple[str, ...]]:
        """The first network that runs, and in which of float64 and float32."""
        try:
            return next(_not_refused(self._dtypes_of, _small_networks()))
        except Refused as unknown:
            raise AssertionError(
                f"not even an Affine with one of the plain divergences runs: {unknown}; "
                "begin with Affine and LinearLoss"
            ) from None

    def _dtypes_of(self, network: Network) -> tuple[Network, tuple[str, ...]]:
        """The network, and those of float64 and float32 in which it runs."""
        refused: dict[str, AdapterError] = {}
        for dtype in ("float64", "float32"):
            try:
                self.run(Case.random(network, batch=5, seed=1, dtype=dtype))
            except AdapterError as error:
                refused[dtype] = error
        said = "; ".join(f"{dtype}: {error}" for dtype, error in refused.items())
        expect(len(refused) < 2, f"neither float64 nor float32 runs: {said}")
        return network, tuple(d for d in ("float64", "float32") if d not in refused)

    @property
    def divergence(self) -> Divergence:
        """A divergence that the adapter supports, for outputs of any size if possible."""
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
        """The case, with LinearLoss or L2 where the adapter does not support its divergence."""
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
        """The branched case in a list, which is empty if the adapter lacks one of its ops."""
        return self.accepted([self.adapted(gated())])

    def run(self, case: Case, **how: Any) -> Trace:
        """The trace of a case.

        Raises
        ------
        Refused : the adapter does not support an op or the divergence of the case.
        AssertionError : the adapter returned something other than a trace.
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
        return [*self.accepted(cases[:-1]), cases[-1]][0]

    def accepted(self, cases: Iterable[Case]) -> list[Case]:
        """The cases that the adapter does not refuse in its widest dtype."""
        found = []
        for case in cases:
            with suppress(Refused):
                self.run(case.astype(self.dtypes[0]))
                found.append(case)
        return found

    def buildable(self, networks: Iterable[Network]) -> Network:
        """The first network that the adapter builds.

        Raises
        ------
        Refused : the adapter builds none of them.
        """

        def built(network: Network) -> Network:
            with _refusing(network):
                self.adapter.build(network, Case.random(network, dtype=self.dtypes[0]).params)
            return network

        return next(_not_refused(built, networks))

    def has_parity(self, cases: Sequence[Case], dtypes: Sequence[str] | None = None) -> Report:
        """The report on these cases, which must show parity.

        Raises
        ------
        Refused : the adapter refuses some of the cases, and the others have parity.
        """
        dtypes = dtypes or self.dtypes
        report = check(cases, self.adapter, dtypes=dtypes)
        if report:
            return report

        def ran(case: Case) -> Case:
            for dtype in dtypes:
                self.run(case.astype(dtype))
            return case

        # A refusal or an exception is reported as such, and not as a difference.
        kept = []
        try:
            for case in _not_refused(ran, cases):
                kept.append(case)
        except Refused:
            if kept:
                self.has_parity(kept, dtypes)
            raise
        raise AssertionError(diagnosis(report))


class Refused(unittest.SkipTest):
    """The adapter names, as it should, an op or a divergence that it does not support."""


def _not_refused(attempt: Callable[[T], Found], things: Iterable[T]) -> Iterator[Found]:
    """Yield what each attempt returns that is not refused; then raise the last refusal, if any."""
    refused = None
    for thing in things:
        try:
            found = attempt(thing)
        except Refused as error:
            refused = error
        else:
            yield found
    if refused is not None:
        raise refused


@contextmanager
def _refusing(network: Network) -> Iterator[None]:
    """Raise an AdapterError that names an op or the divergence of the network as `Refused`."""
    try:
        yield
    except (DeviceError, InPlaceError):
        raise
    except AdapterError as error:
        things = [step.op for step in network.body]
        things += [network.divergence] if network.divergence is not None else []
        names = {name for thing in things for name in (thing.name, type(thing).__name__)}
        names |= {"weights"} if network.weights is not None else set()
        names |= {"ends", "divergence"} if network.divergence is None else set()
        if any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in names):
            raise Refused(str(error)) from error
        raise


def _small_networks() -> Iterator[Network]:
    """Two layers and a smoothed cross-entropy on class labels; then simpler networks."""
    for divergence in (CrossEntropy(eps=0.01), CrossEntropy(), L2(), LinearLoss()):
        for between in ([ReLU()], [Tanh()], [Sigmoid()], []):
            yield layered([Affine(3, 4), *between, Affine(4, 2)], divergence)


def expect(holds: Any, otherwise: str) -> None:
    """Raise AssertionError unless `holds`; unlike `assert`, -O does not remove it."""
    if not holds:
        raise AssertionError(otherwise)


def arrays(trace: Trace) -> dict[Quantity, NDArray]:
    """Every array of a trace by its quantity."""
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
