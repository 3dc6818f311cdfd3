"""The command line but for its check: list, formulas, help, and how it writes and exits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradparity import core, ops
from gradparity.adapters import available
from gradparity.cli import main
from gradparity.cli.compiled import FOLDER, SETTINGS, keep_compiled
from gradparity.comparisons.cases.suite import builtin_cases

from command_line import check, elsewhere, refused, run

#: Ops that stand for several.
ONE_WAY = (
    *("Maxout:", "MaxSubsets:", "TripletMargin:", "CosineEmbedding:", "MulticlassHinge:"),
    "PairwiseMargin:",
)
ESCAPE = re.compile(r"\x1b")

_elsewhere = pytest.fixture(autouse=True)(elsewhere)


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
    def test_prints_every_op_and_divergence(self) -> None:
        result = run("formulas")
        assert result.exit_code == 0
        bases = (core.Op, core.Activation, core.Kinked, core.Compound, core.Divergence)
        expected = {
            name
            for name in {*core.__all__, *ops.__all__}
            if isinstance(thing := getattr(core, name, getattr(ops, name, None)), type)
            and issubclass(thing, (core.Op, core.Compound, core.Divergence))
            and thing not in bases
        }
        heads = [line.split(":")[0] for line in result.stdout.splitlines() if line[:1].isalpha()]
        assert set(heads) == expected
        assert len(heads) == len(expected)
        assert {"Affine", "L2", "Mish", "Einsum", "GRUCell", "Huber"} <= expected

    def test_leave_out_forms_that_are_functions_of_their_own(self) -> None:
        shown = run("formulas", "Mish").stdout
        assert "dz = dy * best" in shown
        assert "form" not in shown.partition("affine(y")[0]
        assert "softplus" not in shown  # only a form calls it

    def test_only_the_return_of_the_whole_is_an_equation(self) -> None:
        shown = run("formulas", "Arctan2").stdout
        assert "def over(c):\n" in shown
        assert "return dz * (c / r / r)" in shown
        assert "dy = (over(b), -over(a))" in shown

    @pytest.mark.parametrize("name", ["Sigmoid", "sigmoid"])
    def test_prints_one(self, name: str) -> None:
        result = run("formulas", name)
        assert result.exit_code == 0
        assert result.stdout.startswith("Sigmoid: y = 1 / (1 + e^-z)")
        assert "dz = dy * sigmoid_slope(z, y)" in result.stdout
        assert "where(abs(y - 0.5) < 0.25, y * (1 - y), tail)" in result.stdout
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
        assert "other forms of a formula" in legend
        for block in blocks:
            assert "    forward " in block, block
            one_way = block.startswith(ONE_WAY)
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

    def test_is_what_the_package_runs(self) -> None:
        command = [sys.executable, "-m", "gradparity", "--help"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ran.stdout.startswith("Usage: gradparity ")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_ctrl_c_ends_a_command_with_130_and_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "slow_target.py"
    target.write_text(
        "import sys, time\ndef case():\n    print('begun', file=sys.stderr, flush=True)\n"
        "    time.sleep(60)\n"
    )
    # A process that a shell starts in the background ignores SIGINT; this one shall not.
    start = (
        "import runpy, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.argv[0] = 'gradparity'\nrunpy.run_module('gradparity.cli', run_name='__main__')"
    )
    command = [sys.executable, "-c", start, "check", "slow_target:case", "--json", "found.json"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.split()) == (130, "", ["interrupted"])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == []


class TestWhatJaxCompiles:
    @pytest.fixture(autouse=True)
    def _unset(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in (FOLDER, *SETTINGS):
            monkeypatch.setenv(name, "")  # so that it is put back afterwards
            monkeypatch.delenv(name)
        monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)

    def test_is_kept_in_the_folder_for_caches(self, tmp_path: Path) -> None:
        keep_compiled()
        assert os.environ[FOLDER] == str(tmp_path / "gradparity" / "jax")
        assert Path(os.environ[FOLDER]).is_dir()
        assert os.environ.keys() >= SETTINGS.keys()

    @pytest.mark.parametrize("given", ["", "elsewhere"])
    def test_is_left_to_the_user(self, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FOLDER, given)
        keep_compiled()
        assert os.environ[FOLDER] == given
        assert not os.environ.keys() & SETTINGS.keys()

    def test_is_not_kept_where_no_folder_can_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "gradparity").write_text("a file")
        keep_compiled()
        assert FOLDER not in os.environ
