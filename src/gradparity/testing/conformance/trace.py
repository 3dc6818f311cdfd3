"""Checks of the adapter itself and of its trace: the protocol, names, arrays, labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from ...adapters.base import GROUP
from ...core import Case
from ...core.network.nodes import DIV, INPUT
from .subject import Subject, array_fault, expect

__all__ = ["CHECKS"]

#: Attribute -> its declaration, as an author writes it.
PROTOCOL = {
    "name": "name: str",
    "versions": "def versions(self) -> dict[str, str]",
    "run": "def run(self, case, *, dtype=None, device=None) -> Trace",
    "run_all": "def run_all(self, cases, *, dtype=None, device=None) -> list[Trace]",
    "build": "def build(self, network, params) -> Any",
    "export": "def export(self, network, native) -> dict[str, np.ndarray]",
}


def protocol(subject: Subject) -> None:
    """Every method exists and accepts the arguments it is called with."""
    adapter, missing = subject.adapter, []
    for name, signature in PROTOCOL.items():
        if not hasattr(adapter, name):
            missing.append(f"missing: {signature}")
        elif name != "name" and not callable(getattr(adapter, name)):
            missing.append(f"{name} is {getattr(adapter, name)!r}; make it {signature}")
        elif name in ("run", "run_all"):
            missing += _keywords(getattr(adapter, name), signature)
    expect(not missing, "\n".join(missing))


def _keywords(method: Callable[..., Any], signature: str) -> list[str]:
    try:
        inspect.signature(method).bind(None, dtype=None, device=None)
    except TypeError as error:
        return [
            f"{method.__name__} cannot be called with dtype= and device= ({error}): {signature}"
        ]
    return []


def entry_point(subject: Subject) -> None:
    """The adapter is found by its name, as `gradparity check --adapter NAME` finds it."""
    name, kind = subject.name, type(subject.adapter)
    points = [p for p in entry_points(group=GROUP) if p.name == name]
    expect(
        points,
        f"nothing is registered as {name!r}; in pyproject.toml write\n"
        f'[project.entry-points."{GROUP}"]\n{name} = "{kind.__module__}:{kind.__qualname__}"',
    )
    found = type(points[0].load()())
    expect(
        found is kind,
        f"{name!r} is registered as {points[0].value}, which makes a {found.__qualname__}, "
        f"not a {kind.__qualname__}; give the entry point the adapter's own name",
    )


def name(subject: Subject) -> None:
    """The name, which reports show, is a plain word."""
    name = subject.adapter.name
    expect(
        type(name) is str and name and name == name.strip(),
        f"name is {name!r}; give a plain, non-empty str, the framework's name",
    )


def versions(subject: Subject) -> None:
    """Names and versions, the framework's among them, are plain text."""
    found = subject.adapter.versions()
    expect(type(found) is dict and found, f"versions() is {found!r}; return a non-empty dict")
    wrong = {k: v for k, v in found.items() if type(k) is not str or type(v) is not str or not v}
    expect(
        not wrong,
        f"versions() has {wrong!r}; names and versions are plain, non-empty str: str(version)",
    )


def trace_complete(subject: Subject) -> None:
    """The trace has every value, gradient, edge and parameter, under the network's names."""
    for case in _cases(subject):
        trace, wrong = subject.run(case), []
        for kind, shapes in _expected_shapes(case).items():
            found = getattr(trace, kind)
            absent = [_plain(key) for key in shapes if key not in found]
            unknown = [_plain(key) for key in found if key not in shapes]
            if absent:
                wrong.append(f"{kind} lacks {absent}")
            if unknown:
                wrong.append(f"{kind} has {unknown}, which the network does not have")
        expect(not wrong, "\n".join([*wrong, "a trace shows every value and every use of it"]))


def trace_arrays(subject: Subject) -> None:
    """All are plain NumPy arrays of the case's dtype and of the right shapes; Err is a float."""
    for case in _cases(subject):
        trace, wrong = subject.run(case), []
        groups: dict[str, Any] = {**_expected_shapes(case), "Div": {"": (case.T,)}}
        for kind, shapes in groups.items():
            for key, shape in shapes.items():
                found = trace.Div if kind == "Div" else getattr(trace, kind).get(key)
                if found is None:
                    continue  # reported by trace-complete
                fault = array_fault(found, tuple(shape), case.dtype)
                wrong += [f"{kind} {_plain(key)}".strip() + f" {fault}"] if fault else []
        if not isinstance(trace.Err, float):
            wrong.append(f"Err is a {type(trace.Err).__name__}; give float(Err)")
        expect(not wrong, "\n".join(wrong))


def trace_label(subject: Subject) -> None:
    """The trace names the adapter, the versions and the precision that computed it."""
    for dtype in subject.dtypes:
        trace = subject.run(subject.small(dtype))
        said = {"adapter": trace.adapter, "versions": trace.versions}
        asked = {"adapter": subject.adapter.name, "versions": subject.adapter.versions()}
        said["precision"], asked["precision"] = trace.precision or trace.dtype.name, dtype
        wrong = [f"{k} is {said[k]!r}, expected {asked[k]!r}" for k in asked if said[k] != asked[k]]
        expect(not wrong, "\n".join([*wrong, "give Trace(adapter=, versions=, precision=)"]))


def _cases(subject: Subject) -> list[Case]:
    cases = [subject.small(), *subject.gated()]
    return [case.astype(dtype) for case in cases for dtype in subject.dtypes]


def _expected_shapes(case: Case) -> dict[str, dict[Any, tuple[int, ...]]]:
    network, shapes = case.network, case.shapes
    values = {node.name: shapes[node.name] for node in network.nodes}
    edges = {edge: shapes[edge.source] for edge in network.edges}
    grads = {INPUT: case.x.shape, DIV: shapes[DIV], **values, **network.parameter_shapes}
    return {"value": values, "grad": grads, "edge_grad": edges}


def _plain(key: Any) -> Any:
    """An edge as a plain pair, as a user writes it."""
    return tuple(key) if isinstance(key, tuple) else key


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        protocol, entry_point, name, versions, trace_complete, trace_arrays, trace_label
    )
}  # fmt: skip
