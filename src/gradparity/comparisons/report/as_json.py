"""A report as JSON, and back: what one run has written, another can be compared with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from ..findings.elements import Element
from ..findings.finding import Census, Finding, Power, Verdict
from ..findings.shown import printer
from .graph import Graph, GraphNode
from .records import Difference, Run
from .report import Report

__all__ = ["SCHEMA", "finite", "from_document", "from_json", "to_json"]

SCHEMA = "gradparity/report/1"

T = TypeVar("T")


@printer(Report, "json")
def to_json(report: Report) -> str:
    """JSON with a versioned schema; numbers that JSON has no literal for are strings."""
    runs = [
        {**asdict(run), "verdict": str(run.verdict), "findings": [asdict(f) for f in run.findings]}
        for run in report.runs
    ]
    document = {
        "schema": SCHEMA,
        "exit_code": report.exit_code,
        "parity": {0: True, 1: False, 2: None}[report.exit_code],
        "environment": report.environment,
        "skipped": report.skipped,
        "graphs": {case: asdict(graph) for case, graph in report.graphs.items()},
        "runs": runs,
        "differences": [asdict(d) for d in report.differences],
    }
    return json.dumps(finite(document), allow_nan=False, indent=1)


@printer(Report, "from json")
def from_json(text: str) -> Report:
    """The report that `to_json` wrote.

    Raises
    ------
    ValueError : it is no JSON, has another schema, or lacks something.

    >>> from gradparity.comparisons.check.check import check
    >>> from gradparity.core import *
    >>> report = check(layered([Affine(3, 2), ReLU()], L2()), backprop)
    >>> from_json(to_json(report)) == report
    True
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    return from_document(document)


def from_document(document: Any) -> Report:
    """As `from_json`, of what was parsed already."""
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"its schema is {schema!r}; give what `gradparity check --json` writes")
    try:
        return Report(
            runs=tuple(_run(run) for run in document["runs"]),
            differences=tuple(
                _made(Difference, {**d, "units": float(d["units"]), "why": tuple(d["why"])})
                for d in document["differences"]
            ),
            skipped=dict(document["skipped"]),
            environment=dict(document["environment"]),
            graphs={case: _graph(g) for case, g in document.get("graphs", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"it is a report that lacks something ({said}); write it anew") from error


def _run(given: Mapping[str, Any]) -> Run:
    findings = tuple(_finding(f) for f in given["findings"])
    return _made(Run, {**given, "findings": findings, "missing": tuple(given["missing"])})


def _finding(given: Mapping[str, Any]) -> Finding:
    return _made(
        Finding,
        {
            **given,
            **{name: float(given[name]) for name in ("got", "expected", "error", "bound")},
            "verdict": Verdict(given["verdict"]),
            "index": None if given["index"] is None else tuple(given["index"]),
            "kinks": None if given["kinks"] is None else _made(Census, given["kinks"]),
            "power": None if given["power"] is None else _power(given["power"]),
            "worst": tuple(_element(e) for e in given.get("worst", ())),
        },
    )


def _power(given: Mapping[str, Any]) -> Power:
    sizes = {name: float(given[name]) for name in ("median", "worst", "tensor")}
    return _made(Power, {**given, **sizes})


def _element(given: Mapping[str, Any]) -> Element:
    numbers = {name: float(given[name]) for name in ("got", "expected", "error", "bound")}
    return Element(tuple(given["index"]), **numbers)


def _graph(given: Mapping[str, Any]) -> Graph:
    nodes = tuple(
        GraphNode(
            node["name"],
            node["op"],
            tuple(node["inputs"]),
            {name: tuple(shape) for name, shape in node["parameters"].items()},
        )
        for node in given["nodes"]
    )
    return _made(Graph, {**given, "nodes": nodes})


def _made(cls: type[T], given: Mapping[str, Any]) -> T:
    """An object from what is there of its fields; what a later version adds is passed over."""
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    return cls(**{name: given[name] for name in names if name in given})


def finite(x: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(x, dict):
        return {key: finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [finite(value) for value in x]
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return x
