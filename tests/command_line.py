"""What the tests of the command line share: three adapters, targets, and ways to call it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gradparity.adapters import base
from gradparity.cli import main

#: Three implementations in NumPy, so that most of these tests need no framework.
ADAPTERS = """
import dataclasses
from gradparity.core import backprop

class Right:
    name = "right"
    def versions(self): return {"right": "1.2"}
    def run(self, case, *, dtype=None, device=None):
        trace = backprop(case if dtype is None else case.astype(dtype))
        return dataclasses.replace(trace, adapter=self.name)
    def run_all(self, cases, *, dtype=None, device=None):
        return [self.run(case, dtype=dtype) for case in cases]
    def build(self, network, params): return dict(params)
    def export(self, network, native): return dict(native)

class Wrong(Right):
    name = "wrong"
    def run(self, case, *, dtype=None, device=None):
        trace = super().run(case, dtype=dtype)
        if "W1" in trace.grad:
            trace.grad["W1"] = trace.grad["W1"] * trace.grad["W1"].dtype.type(1.001)
        return trace

class Careless(Right):
    name = "careless"
    def run(self, case, *, dtype=None, device=None):
        trace = super().run(case, dtype=dtype)
        del trace.grad["W1"]
        return trace
"""

TARGETS = """
import gradparity as gp
from gradparity.core import *

network = gp.layered([Affine(3, 2), Tanh()], L2())
case = gp.Case.random(network, batch=2, name="just-this")
cases = [case, gp.Case.random(network, batch=3, name="and-that")]
empty, five, text, networks = [], 5, "case", [network]
twice = [case, case]
one_by_one = gp.layered([Affine(1, 1)], L2())
small = [gp.Case.random(one_by_one, batch=2, name=name) for name in ("just-this", "and-that")]

def make(): return case
def several(): return cases
def lazily(): yield from cases
def nothing(): pass
def needy(batch): return case
def bad(): raise RuntimeError("no disk left")

class Holder:
    inner = case
"""


def install_adapters(folder: Path) -> Path:
    """Install the adapters above in a folder, as pip would; the result is for `sys.path`."""
    site = folder / "site"
    info = site / "three_adapters-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: three-adapters\nVersion: 1.0\n")
    points = [f"{n} = three_adapters:{n.title()}" for n in ("right", "wrong", "careless")]
    (info / "entry_points.txt").write_text("\n".join([f"[{base.GROUP}]", *points]) + "\n")
    (site / "three_adapters.py").write_text(ADAPTERS)
    return site


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of one's own, with the adapters above installed as pip would."""
    site = install_adapters(tmp_path)
    (tmp_path / "my_targets.py").write_text(TARGETS)
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    for module in ("my_targets", "three_adapters"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.chdir(tmp_path)
    for variable in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "PYTHONPATH"):
        monkeypatch.delenv(variable, raising=False)
    base._entry_points.cache_clear()
    base.loaded_adapter.cache_clear()
    yield
    base._entry_points.cache_clear()
    base.loaded_adapter.cache_clear()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def check(*arguments: str, adapters: tuple[str, ...] = ("right",)) -> Result:
    return run("check", *(part for a in adapters for part in ("--adapter", a)), *arguments)


def last(result: Result) -> str:
    return result.stdout.rstrip("\n").splitlines()[-1]


def refused(result: Result, *words: str) -> None:
    """A usage error that names what was wrong."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Error: " in result.stderr
    for word in words:
        assert word in result.stderr


def strictly(text: str) -> Any:
    """JSON as the standard has it, without NaN and Infinity."""

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=never)
