"""Checks of an adapter at its boundary: copies, running, errors, global state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from ...adapters.base import AdapterError, DeviceError
from ...core import (
    Activation,
    Affine,
    Case,
    Divergence,
    Maxout,
    Network,
    Node,
    RandomizedLeakyReLU,
    Trace,
    layered,
)
from .state import unusual
from .subject import Subject, array_fault, arrays, expect

__all__ = ["CHECKS"]


def copies_trace(subject: Subject) -> None:
    """The arrays of a trace share no memory, and writing into them changes no later trace."""
    case = subject.small()
    trace = subject.run(case)
    found, kept = arrays(trace), {}
    for key, array in found.items():
        kept[key] = array.copy()
        expect(array.flags.writeable, f"{key} is read-only: a view of another's memory; copy it")
    shared = [
        f"{a} and {b}" for a, b in combinations(found, 2) if np.shares_memory(found[a], found[b])
    ]
    expect(not shared, f"these share their memory, give each a copy: {', '.join(shared)}")
    for array in found.values():
        array += 1
    again = arrays(subject.run(case))
    changed = [key for key in kept if not np.array_equal(again[key], kept[key])]
    expect(not changed, f"writing into a trace changed a later one: {changed}; return copies")


def copies_case(subject: Subject) -> None:
    """The case's arrays are neither changed nor part of the trace."""
    case = subject.small()
    given = {"x": case.x, "d": case.d, "desired": case.desired, **case.params}
    before = {name: array.tobytes() for name, array in given.items()}
    found = arrays(subject.run(case))
    changed = [name for name, array in given.items() if array.tobytes() != before[name]]
    expect(not changed, f"running changed {changed} of the case; copy what you are given")
    shared = [
        f"{key} of the trace and {name} of the case"
        for key, name in product(found, given)
        if np.shares_memory(found[key], given[name])
    ]
    expect(not shared, f"these share their memory, copy them: {', '.join(shared)}")


def copies_build(subject: Subject) -> None:
    """The built network shares no memory with the given parameters, nor with the exported ones."""
    case = subject.small()
    params = {name: p.copy() for name, p in case.params.items()}
    native = subject.adapter.build(case.network, params)
    for p in params.values():
        p.fill(7.0)
    exported = subject.adapter.export(case.network, native)
    _same_parameters(exported, case.params, "writing into the parameters given to build reached it")
    for p in exported.values():
        p.fill(7.0)
    again = subject.adapter.export(case.network, native)
    _same_parameters(again, case.params, "writing into exported parameters reached what was built")


ROUND_TRIP = (
    Node("z1", Affine(4, 3), "x"),
    Node("hidden", Affine(3, 5, bias=False), "z1"),
    Node("most", Maxout(5, 2, pieces=2), "hidden"),
)


def round_trip(subject: Subject) -> None:
    """build and export preserve every bit of the parameters, also signs of zeros and subnormals."""
    net = subject.buildable(
        Network(*layers, divergence=subject.divergence)
        for layers in (ROUND_TRIP, ROUND_TRIP[:2], ROUND_TRIP[:1])
    )
    for dtype in subject.dtypes:
        params = dict(Case.random(net, seed=2, dtype=dtype).params)
        info = np.finfo(dtype)
        awkward = [-0.0, 0.0, info.tiny, -info.tiny / 4, info.max, info.smallest_subnormal]
        params["W1"] = np.resize(np.array(awkward, dtype), (4, 3))
        back = subject.adapter.export(net, subject.adapter.build(net, params))
        _same_parameters(back, params, f"{dtype}: export(build(params)) is not params")


def _same_parameters(got: Any, expected: Any, said: str) -> None:
    expect(
        isinstance(got, dict) and set(got) == set(expected),
        f"export returned {sorted(got) if isinstance(got, dict) else type(got).__name__}, "
        f"expected a dict with {sorted(expected)}",
    )
    for name, p in expected.items():
        fault = array_fault(got[name], p.shape, p.dtype)
        expect(not fault, f"{said}: {name} {fault}")
        expect(got[name].tobytes() == p.tobytes(), f"{said}: {name} is {got[name]}, expected {p}")


def deterministic(subject: Subject) -> None:
    """The same case gives the same bits."""
    case = subject.first(_randomized(subject), subject.small())
    _same_bits(subject.run(case), subject.run(case), "the same case, run twice")


def _randomized(subject: Subject) -> Case:
    net = layered([Affine(3, 4), RandomizedLeakyReLU()], subject.divergence)
    return Case.random(net, batch=4, dtype=subject.dtypes[0])


def _same_bits(a: Trace, b: Trace, said: str) -> None:
    first, second = arrays(a), arrays(b)
    expect(set(first) == set(second), f"{said}: {sorted(set(first) ^ set(second))} in one only")
    differ = [
        key
        for key in first
        if first[key].dtype != second[key].dtype
        or not np.array_equal(first[key], second[key], equal_nan=True)
    ]
    expect(not differ and a.Err == b.Err, f"{said}, differ in {differ or 'Err'}")


def dtype_argument(subject: Subject) -> None:
    """run(case, dtype=) is run(case.astype(dtype)), and so is run_all."""
    for dtype in subject.dtypes:
        other = subject.small("float32" if dtype == "float64" else "float64")
        plain = subject.run(other.astype(dtype))
        for said, given in (("a name", dtype), ("a NumPy dtype", np.dtype(dtype))):
            asked = subject.run(other, dtype=given)
            _same_bits(asked, plain, f"run(case, dtype={given!r}) ({said}) and run(case.astype())")
        (asked,) = subject.adapter.run_all([other], dtype=dtype)
        _same_bits(asked, plain, f"run_all([case], dtype={dtype!r}) and run(case.astype())")


def run_all(subject: Subject) -> None:
    """run_all returns the traces in the order of the cases, each in its case's dtype."""
    found = subject.adapter.run_all([])
    expect(isinstance(found, list) and not found, f"run_all([]) is {found!r}; return []")
    mixed = [subject.small(dtype, batch) for batch in (5, 3) for dtype in subject.dtypes]
    together = subject.adapter.run_all(mixed)
    expect(len(together) == len(mixed), f"{len(mixed)} cases gave {len(together)} traces")
    for i, (case, trace) in enumerate(zip(mixed, together, strict=True)):
        got = trace.Div.dtype, trace.Div.shape
        expect(
            got == (case.dtype, (case.T,)),
            f"trace {i} of run_all has Div of {got}, its case has {case.dtype} and T = {case.T}: "
            "keep the order and each case's dtype",
        )
        _nearly_same(trace, subject.run(case), f"trace {i} of run_all and run(case {i})")


def _nearly_same(a: Trace, b: Trace, said: str) -> None:
    """Cases compiled together may be rounded differently, but half of the digits must agree."""
    first, second = arrays(a), arrays(b)
    for key, x in first.items():
        apart = float(np.abs(x - second[key]).max(initial=0.0))
        near = math.sqrt(np.finfo(x.dtype).eps) * float(np.abs(x).max(initial=0.0))
        expect(apart <= near, f"{said} differ in {key} by {apart:.3g}")


@dataclass(frozen=True)
class Unheard(Activation):
    """y = z^3: an op that no adapter knows."""

    def f(self, z: Any) -> Any:
        return z * z * z

    def df(self, dy: Any, z: Any, y: Any) -> Any:
        return 3 * z * z * dy


@dataclass(frozen=True)
class UnheardDivergence(Divergence):
    """Div = sum_i y_i: a divergence that no adapter knows."""

    def forward(self, y: Any, d: Any) -> Any:
        return y.sum(axis=-1)

    def gradient(self, y: Any, d: Any) -> Any:
        return 1 + 0 * y


def unknown_op(subject: Subject) -> None:
    """An unknown op is an AdapterError that names it, when run and when built."""
    net = layered([Affine(2, 2), Unheard()], subject.divergence)
    case = Case.random(net, dtype=subject.dtypes[0])
    with _refusal("run", "Unheard", "the adapter does not have this op"):
        subject.adapter.run(case)
    with _refusal("build", "Unheard", "the adapter does not have this op"):
        subject.adapter.build(case.network, case.params)


def unknown_divergence(subject: Subject) -> None:
    """An unknown divergence is an AdapterError that names it."""
    case = Case.random(layered([Affine(2, 2)], UnheardDivergence())).astype(subject.dtypes[0])
    with _refusal("run", "UnheardDivergence", "the adapter does not have this divergence"):
        subject.adapter.run(case)


def unknown_device(subject: Subject) -> None:
    """An unknown device is a DeviceError that names it, so that no other case is tried there."""
    case = subject.small()
    with _refusal("run", "abacus", "no such device", DeviceError):
        subject.adapter.run(case, device="abacus")


@contextmanager
def _refusal(
    method: str, what: str, why: str, kind: type[AdapterError] = AdapterError
) -> Iterator[None]:
    """Expect an error of this kind that names `what`."""
    remedy = f"raise {kind.__name__} naming {what!r} ({why})"
    try:
        yield
    except kind as error:
        expect(what in str(error), f"{method} refused with {str(error)!r}; {remedy}")
    except Exception as error:
        said = f"{method} raised {type(error).__name__}: {error}; {remedy}"
        raise AssertionError(said) from error
    else:
        raise AssertionError(f"{method} accepted {what!r}; {remedy}")


def global_state(subject: Subject) -> None:
    """A run leaves random numbers, error handling, default dtypes and warning filters unchanged."""
    case = subject.first(_randomized(subject), subject.small())
    adapter = subject.adapter  # imported before: what importing a framework changes is allowed
    for which in (0, 1):
        with unusual(which) as changed:
            subject.run(case)
            adapter.build(case.network, case.params)
            found = changed()
        expect(not found, f"running changed {', '.join(found)}; use a context, or restore it")


def float32_after_float64(subject: Subject) -> None:
    """A run in float64 does not affect a later one in float32."""
    if len(subject.dtypes) < 2:
        return
    narrow, wide = subject.small("float32"), subject.small("float64")
    first = [subject.run(narrow) for _ in range(2)][-1]  # after float32 itself
    subject.run(wide)
    _same_bits(subject.run(narrow), first, "float32 before and after a run in float64")


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        copies_trace, copies_case, copies_build, round_trip, deterministic, dtype_argument,
        run_all, unknown_op, unknown_divergence, unknown_device, global_state,
        float32_after_float64,
    )
}  # fmt: skip
