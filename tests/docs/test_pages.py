"""The pages of the reference that are written by hand say what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

import gradparity as gp
from gradparity import core
from gradparity.cli import COMMANDS
from gradparity.core import Affine, Case, CrossEntropy, ReLU

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The rows of a page's tables that begin with code."""
    lines = [line for line in page(name).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_verdict_in_order_with_its_parity() -> None:
    said = {True: "yes", False: "no", None: "unknown"}
    wanted = [(f"`{v}`", said[v.parity]) for v in gp.Verdict]
    assert [(row[0], row[2].partition(";")[0]) for row in rows("verdicts")] == wanted
    assert all(len(row) == 5 for row in rows("verdicts"))


def test_every_command_has_its_exit_codes() -> None:
    assert [row[0] for row in rows("exit-codes")] == [f"`gradparity {name}`" for name in COMMANDS]
    assert all(len(row) == 4 for row in rows("exit-codes"))


def classes(kind: type) -> Iterator[type]:
    """The dataclasses that a report is made of."""
    yield kind
    for hint in get_type_hints(kind).values():
        for part in _parts(hint):
            if inspect.isclass(part) and dataclasses.is_dataclass(part):
                yield from classes(part)


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for argument in getattr(hint, "__args__", ()):
        yield from _parts(argument)


def keys(found: Any) -> Iterator[str]:
    """The keys of all objects, except those whose keys are data."""
    if isinstance(found, list):
        for each in found:
            yield from keys(each)
    if isinstance(found, dict):
        for name, value in found.items():
            yield name
            if name == "graphs":
                yield from keys(list(value.values()))
            elif name not in ("environment", "skipped", "taken", "parameters"):
                yield from keys(value)


def in_code(text: str) -> set[str]:
    """The names between backticks; ``runs[].findings[]`` is both."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))


class TestJson:
    SAID = in_code(page("json").partition("## The report of a run of pytest")[0])

    def test_the_classes_are_found(self) -> None:
        found = {kind.__name__ for kind in classes(gp.Report)}
        assert {
            "Report",
            "Run",
            "Finding",
            "KinkSummary",
            "Power",
            "Difference",
            "Element",
        } <= found
        assert {"Graph", "GraphNode"} <= found

    def test_every_field_is_said(self) -> None:
        for kind in classes(gp.Report):
            missing = {field.name for field in dataclasses.fields(kind)} - self.SAID
            assert not missing, kind

    def test_every_key_that_is_written_is_said(self) -> None:
        net = gp.layered([Affine(3, 4), ReLU(), Affine(4, 2)], CrossEntropy())
        case = Case.random(net, batch=4)
        params = {name: np.zeros_like(p) for name, p in case.params.items()}
        kink = Case(net, params, case.x, case.d, "kink")

        def wrong(case: Case) -> gp.Trace:
            trace = gp.backprop(case)
            trace.grad["W2"] = trace.grad["W2"] + 1
            return trace

        written = set(keys(json.loads(gp.check([case, kink], gp.backprop, wrong).to_json())))
        assert {"kinks", "undetermined", "untested", "differences", "why", "worst"} <= written
        assert not written - self.SAID


def test_every_name_of_the_notation_is_there() -> None:
    names = set(re.findall(r"`([A-Z][A-Za-z0-9]+|[a-z]+(?:_[a-z]+)+)(?=[`(.])", page("notation")))
    assert {"ReLU", "Affine", "CrossEntropy", "scalar_backprop", "RMSNorm"} <= names
    assert not [name for name in names if not hasattr(core, name) and name not in gp.ops.__all__]


def test_the_notation_has_a_row_for_every_family() -> None:
    rows = [in_code(line) for line in page("notation").splitlines() if line.startswith("| beyond")]
    for family in gp.ops._FAMILIES:
        if "vocabulary" in family.__name__:
            there = [row for row in rows if row & set(family.__all__)]
            assert len(there) == 1, family
            assert there[0] == set(family.__all__) & set(gp.ops.__all__), family


def test_code_that_a_page_quotes_is_in_the_code() -> None:
    how_to = (REFERENCE.parent / "how-to" / "contribute.md").read_text(encoding="utf-8")
    quoted = re.findall(r"<!-- quoted -->\n```\w+\n# in ([\w/.]+)\n(.*?)```", how_to, re.DOTALL)
    assert len(quoted) == how_to.count("<!-- quoted -->") > 4
    for path, code in quoted:
        assert code in (REFERENCE.parents[1] / path).read_text(encoding="utf-8"), path


def test_what_pages_import_is_public() -> None:
    """A name that a reader is shown is one that the reference has."""
    conf = (REFERENCE.parent / "conf.py").read_text(encoding="utf-8")
    modules = eval(conf.partition("public_modules = ")[2].partition("\n}\n")[0] + "}")
    pages = [REFERENCE.parents[1] / "README.md", *REFERENCE.parent.rglob("*.md")]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for module, given in re.findall(r"from (gradparity[\w.]*) import ([\w, ]+)", text):
            assert module in modules, path
            public = modules[module] or __import__(module, fromlist=["x"]).__all__
            assert set(given.split(", ")) <= {*public, "*"}, path


def test_every_kind_of_change_and_every_field_of_a_comparison() -> None:
    from gradparity.comparisons.report.change_records import Change, Changes, Kind

    how_to = (REFERENCE.parent / "how-to" / "compare.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z ]+)` \|", how_to, re.MULTILINE)) == set(Kind)
    told = page("json").partition("## What changed")[2]
    for kind in (Change, Changes):
        for field in dataclasses.fields(kind):
            assert re.search(rf"`{field.name}(\[\])?`", told), field.name
