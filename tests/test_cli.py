"""The command line: what it prints, and above all what it exits with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gradparity import core
from gradparity.adapters import available, base
from gradparity.cli import main
from gradparity.comparisons.suite import builtin_cases

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

def make(): return case
def several(): return cases
def lazily(): yield from cases
def nothing(): pass
def needy(batch): return case
def bad(): raise RuntimeError("no disk left")

class Holder:
    inner = case
"""

ESCAPE = re.compile(r"\x1b")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory of one's own, with the adapters above installed as pip would."""
    info = tmp_path / "site" / "three_adapters-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: three-adapters\nVersion: 1.0\n")
    points = [f"{n} = three_adapters:{n.title()}" for n in ("right", "wrong", "careless")]
    (info / "entry_points.txt").write_text("\n".join([f"[{base.GROUP}]", *points]) + "\n")
    (tmp_path / "site" / "three_adapters.py").write_text(ADAPTERS)
    (tmp_path / "my_targets.py").write_text(TARGETS)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    for module in ("my_targets", "three_adapters"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.chdir(tmp_path)
    for variable in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "PYTHONPATH"):
        monkeypatch.delenv(variable, raising=False)
    base._entry_points.cache_clear()
    base.adapter.cache_clear()
    yield
    base._entry_points.cache_clear()
    base.adapter.cache_clear()


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


class TestCheck:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param(n, marks=pytest.mark.skipif(not find_spec(n), reason=f"no {n}"))
            for n in ("torch", "jax")
        ],
    )
    def test_of_a_framework_ends_in_parity(self, name: str) -> None:
        result = check("--case", "net-tanh", "--dtype", "float32", adapters=(name,))
        assert result.exit_code == 0, result.output
        assert last(result).startswith("PARITY  ")
        header = " ".join(result.stdout.split("\n\n")[0].split())
        assert f" · {name} " in header
        assert "net-tanh" in result.stdout

    def test_tells_what_it_did(self) -> None:
        result = check("--case", "net-tanh")
        assert result.exit_code == 0
        assert last(result).startswith("PARITY  ")
        assert "in 2 runs" in last(result)  # both dtypes
        for word in ("right f64", "right f32", "grad W1", "value z1", "Err", "Div"):
            assert word in result.stdout
        assert result.stderr == ""

    def test_of_one_dtype_is_one_run(self) -> None:
        result = check("--case", "net-tanh", "--dtype", "float64")
        assert "in 1 runs" in last(result)
        assert "f32" not in result.stdout

    def test_takes_options_more_than_once(self) -> None:
        result = check("--case", "net-tanh", "--case", "net-sigmoid", "--dtype", "float64",
                       "--dtype", "float32", adapters=("right", "right"))  # fmt: skip
        assert result.exit_code == 0
        assert "net-tanh" in result.stdout
        assert "net-sigmoid" in result.stdout

    @pytest.mark.parametrize("detail", ["auto", "all", "none"])
    def test_shows_as_much_as_is_asked(self, detail: str) -> None:
        result = check("--case", "net-", "--detail", detail, "--dtype", "float64")
        assert result.exit_code == 0, result.output
        node_by_node = "grad W1" in result.stdout
        assert node_by_node is (detail == "all")
        assert all(f"net-{op}" in result.stdout for op in ("tanh", "affine", "maxout"))


class TestAMismatch:
    def test_exits_1_and_names_node_and_quantity(self) -> None:
        result = check("--case", "net-tanh", adapters=("right", "wrong"))
        assert result.exit_code == 1
        assert last(result).startswith("NO PARITY  ")
        told = next(line for line in result.stdout.splitlines() if "net-tanh, wrong" in line)
        assert "MISMATCH" in told
        assert "grad W1" in result.stdout
        said = " ".join(result.stdout.split())
        assert re.search(r"net-tanh, wrong float64: MISMATCH grad W1: .* at 'z1' gives", said)
        assert "net-tanh, right" not in said

    def test_is_in_the_json_with_its_place(self) -> None:
        result = check("--case", "net-tanh", "--json", "-", adapters=("wrong",))
        assert result.exit_code == 1
        report = strictly(result.stdout)
        assert report["exit_code"] == 1
        assert report["parity"] is False
        bad = [f for r in report["runs"] for f in r["findings"] if f["verdict"] == "mismatch"]
        assert {(f["quantity"], f["node"]) for f in bad} == {("grad W1", "z1")}
        assert all(f["outside"] > 0 and len(f["index"]) == 2 for f in bad)

    def test_an_incomplete_trace_is_no_mismatch_but_an_error(self) -> None:
        refused(check("--case", "net-tanh", adapters=("careless",)), "'careless'", "'W1'")


class TestJson:
    def test_to_a_file_beside_the_text(self, tmp_path: Path) -> None:
        result = check("--case", "net-tanh", "--json", "report.json")
        assert result.exit_code == 0
        assert last(result).startswith("PARITY")
        report = strictly((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert report["schema"] == "gradparity/report/1"
        assert report["parity"] is True
        assert {(r["case"], r["adapter"], r["dtype"]) for r in report["runs"]} == {
            ("net-tanh", "right", "float64"),
            ("net-tanh", "right", "float32"),
        }
        assert report["environment"]["right"] == "1.2"
        for one in report["runs"]:
            quantities = {finding["quantity"] for finding in one["findings"]}
            assert {"value z1", "grad W1", "grad b1", "Div", "Err"} <= quantities

    def test_to_standard_output_is_nothing_but_json(self) -> None:
        result = check("--case", "net-tanh", "--json", "-")
        assert result.exit_code == 0
        assert result.stderr == ""
        assert strictly(result.stdout)["schema"] == "gradparity/report/1"

    def test_of_kinks_and_saturation_has_no_infinity(self) -> None:
        """z up to 300 in float32, where exponentials overflow and bounds may be infinite."""
        result = check("--case", "op-", "--json", "-")
        report = strictly(result.stdout)
        assert result.exit_code == report["exit_code"]
        assert len(report["runs"]) > 40

    def test_that_cannot_be_written_is_an_error_and_no_difference(self) -> None:
        result = check("--case", "net-tanh", "--json", "no/such/folder/report.json")
        assert result.exit_code == 2
        assert "no/such/folder/report.json" in result.stderr


class TestATarget:
    @pytest.mark.parametrize(
        ("target", "names"),
        [
            ("case", {"just-this"}),
            ("network", {"my_targets:network"}),
            ("networks", {"my_targets:networks[0]"}),
            ("twice", {"just-this (1)", "just-this (2)"}),
            ("cases", {"just-this", "and-that"}),
            ("make", {"just-this"}),
            ("several", {"just-this", "and-that"}),
            ("lazily", {"just-this", "and-that"}),
            ("Holder.inner", {"just-this"}),
        ],
    )
    def test_is_a_case_a_network_several_or_a_function(self, target: str, names: set[str]) -> None:
        result = check(f"my_targets:{target}", "--json", "-")
        assert result.exit_code == 0, result.output
        assert {r["case"] for r in strictly(result.stdout)["runs"]} == names

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("my_targets", ["'my_targets'", "package.module:object"]),
            ("no_such_module:case", ["'no_such_module:case'", "No module named"]),
            ("my_targets:no_such_name", ["no_such_name"]),
            ("my_targets:five", ["'my_targets:five'", "int", "give a Case"]),
            ("my_targets:text", ["'my_targets:text'", "str", "give a Case"]),
            ("my_targets:nothing", ["'my_targets:nothing'", "NoneType"]),
            ("my_targets:needy", ["'my_targets:needy'", "'batch'"]),
            ("my_targets:bad", ["'my_targets:bad'", "RuntimeError", "no disk left"]),
            ("my_targets:", ["'my_targets:'", "module"]),
            ("my targets:case", ["'my targets:case'"]),
            (":case", ["':case'"]),
        ],
    )
    def test_that_is_something_else_is_refused_by_name(self, target: str, words: list[str]) -> None:
        refused(check(target), *words)

    def test_without_cases_compares_nothing(self) -> None:
        result = check("my_targets:empty")
        assert result.exit_code == 2
        assert last(result) == "UNKNOWN  nothing was compared"
        assert strictly(check("my_targets:empty", "--json", "-").stdout)["parity"] is None

    def test_and_a_builtin_case_exclude_each_other(self) -> None:
        refused(check("my_targets:case", "--case", "net-tanh"), "--case", "my_targets:case")


class TestUsageErrors:
    def test_name_an_unknown_adapter_and_the_known(self) -> None:
        result = check("--case", "net-tanh", adapters=("tensorflow",))
        refused(result, "'tensorflow'", "'right'", "'torch'")

    @pytest.mark.parametrize("dtype", ["float31", "float16", "int32", "complex64"])
    def test_name_an_unknown_dtype_and_the_known(self, dtype: str) -> None:
        refused(check("--case", "net-tanh", "--dtype", dtype), dtype)

    def test_name_an_unknown_case(self) -> None:
        refused(check("--case", "no-such", "--case", "nor-such"), "no-such", "nor-such", "list")

    def test_name_an_unknown_device(self) -> None:
        pytest.importorskip("torch")
        result = check("--case", "net-tanh", "--device", "abacus", adapters=("torch",))
        refused(result, "'abacus'", "torch")

    @pytest.mark.parametrize(
        "arguments", [["--no-such-option"], ["--detail", "some"], ["a:b", "c:d"], ["--json"]]
    )
    def test_of_clicks_own_exit_2_too(self, arguments: list[str]) -> None:
        refused(run("check", *arguments))

    def test_of_the_command(self) -> None:
        refused(run("prove"), "prove")


class TestList:
    def test_shows_every_case_and_every_adapter(self) -> None:
        result = run("list")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        starts = {line.split()[0] for line in lines if line}
        assert set(builtin_cases()) <= starts
        shown = {line.split()[1]: line for line in lines if line.startswith("adapter ")}
        assert set(shown) == set(available()) >= {"torch", "jax", "right", "wrong"}
        assert shown["right"].endswith("right 1.2")
        for name, case in builtin_cases().items():
            mine = next(line for line in lines if line.startswith(f"{name} "))
            assert case.about[:20] in mine
        assert max(map(len, lines)) <= 80

    def test_says_of_a_missing_framework_what_to_install(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(sys.modules, "gradparity.adapters.torch", None)
        result = run("list")
        assert result.exit_code == 0
        line = next(li for li in result.stdout.splitlines() if li.startswith("adapter torch"))
        assert line.endswith('pip install "gradparity[torch]"')


class TestFormulas:
    def test_prints_every_class_of_the_core_that_has_one(self) -> None:
        result = run("formulas")
        assert result.exit_code == 0
        bases = (core.Op, core.Activation, core.Kinked, core.Compound, core.Divergence)
        expected = {
            name
            for name in core.__all__
            if isinstance(thing := getattr(core, name), type)
            and issubclass(thing, (core.Op, core.Compound, core.Divergence))
            and thing not in bases
        }
        heads = [line.split(":")[0] for line in result.stdout.splitlines() if line[:1].isalpha()]
        assert set(heads) == expected
        assert len(heads) == len(expected)
        assert len(expected) > 25

    @pytest.mark.parametrize("name", ["Sigmoid", "sigmoid"])
    def test_prints_one(self, name: str) -> None:
        result = run("formulas", name)
        assert result.exit_code == 0
        assert result.stdout.startswith("Sigmoid: y = 1 / (1 + e^-z)")
        assert "dz = dy * (y * (1 - y))" in result.stdout
        assert "Tanh" not in result.stdout
        assert "import" not in result.stdout

    def test_prints_those_asked_for_in_that_order(self) -> None:
        heads = re.findall(r"^(\w+):", run("formulas", "Tanh", "L2").stdout, re.MULTILINE)
        assert heads == ["Tanh", "L2"]

    @pytest.mark.parametrize("names", [["Sigmund"], ["Sigmoid", "Sigmund"]])
    def test_of_an_unknown_name_are_refused(self, names: list[str]) -> None:
        refused(run("formulas", *names), "'Sigmund'")

    def test_have_both_directions(self) -> None:
        *blocks, legend = run("formulas").stdout.rstrip().split("\n\n")
        assert "wider(form, other)" in legend
        for block in blocks:
            assert "    forward " in block, block
            one_way = block.startswith(("Maxout:", "MaxSubsets:"))  # chains of ops
            assert one_way or "    backward " in block, block


class TestHelp:
    @pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "-h"], ["list", "-h"]])
    def test_is_there(self, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage: " in result.stdout

    def test_tells_the_exit_codes(self) -> None:
        assert "0 parity, 1 a difference, 2 unknown" in " ".join(run("--help").stdout.split())

    def test_version(self) -> None:
        from importlib.metadata import version

        result = run("--version")
        assert result.exit_code == 0
        assert version("gradparity") in result.stdout


class TestPiped:
    """What another program reads: plain, narrow, the same with any environment."""

    def outputs(self) -> Iterator[str]:
        yield check("--case", "net-tanh", adapters=("right", "wrong")).stdout
        yield check("--case", "relu", "--case", "max", adapters=("right", "wrong")).stdout
        yield check("--case", "gated", "--case", "shared", "--detail", "all").stdout
        yield check("--case", "op-max", adapters=("right", "wrong", "right")).stdout

    def test_is_at_most_80_columns_wide_and_plain(self) -> None:
        for output in self.outputs():
            assert max(map(len, output.splitlines())) <= 80
            assert not ESCAPE.search(output)
            assert not any(line != line.rstrip() for line in output.splitlines())

    def test_does_not_depend_on_the_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = check("--case", "net-tanh").stdout
        for variable, value in (("COLUMNS", "200"), ("TERM", "xterm"), ("NO_COLOR", "1")):
            monkeypatch.setenv(variable, value)
            assert check("--case", "net-tanh").stdout == plain


def started(*arguments: str, tty: bool = False, **environment: str) -> tuple[int, str, str]:
    """A process of its own: exit code, standard output (a terminal if asked) and error."""
    command = [sys.executable, "-W", "error", "-m", "gradparity.cli", *arguments]
    env = {**os.environ, "PYTHONPATH": str(Path("site").absolute()), **environment}
    if not tty:
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        return done.returncode, done.stdout, done.stderr
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=env) as process:
        os.close(theirs)
        read = b""
        try:
            while chunk := os.read(ours, 65536):
                read += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        finally:
            os.close(ours)
        assert process.stderr is not None
        error = process.stderr.read().decode()
    return process.returncode, read.decode(), error


class TestAProcess:
    ARGUMENTS = ("check", "my_targets:case", "--dtype", "float64", "--adapter")

    def test_exits_with_the_verdict(self) -> None:
        code, out, err = started(*self.ARGUMENTS, "right")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1].startswith("PARITY")
        assert not ESCAPE.search(out)
        assert max(map(len, out.splitlines())) <= 80

    def test_exits_with_1_for_a_difference(self) -> None:
        code, out, _ = started(*self.ARGUMENTS, "wrong")
        assert code == 1
        assert out.splitlines()[-1].startswith("NO PARITY")

    def test_writes_to_a_terminal_in_colour_unless_asked_not_to(self) -> None:
        colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;)[0-9;]*m")
        code, out, _ = started(*self.ARGUMENTS, "right", tty=True, TERM="xterm-256color")
        assert code == 0
        assert colour.search(out)
        code, out, _ = started(
            *self.ARGUMENTS, "right", tty=True, TERM="xterm-256color", NO_COLOR="1"
        )
        assert code == 0
        assert "PARITY" in out
        assert not colour.search(out)

    def test_is_installed_as_a_script(self) -> None:
        from importlib.metadata import entry_points

        (script,) = entry_points(group="console_scripts", name="gradparity")
        assert script.load() is main
