"""`gradparity align`: two programs, each made by a function of a file or a module."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradparity.cli import main

pytest.importorskip("torch")
pytest.importorskip("jax")

DATA = """
import numpy as np

FACTOR = 1.0

def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 6)), FACTOR * rng.standard_normal((5, 4))
"""
ORIGINAL = """
import torch
from data import data

def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4)).double()

def loss(model, x, y):
    return ((model(x) - y) ** 2).mean()

def make():
    return loss, model(), *map(torch.tensor, data())

def make_nested():
    return loss, (model(), *map(torch.tensor, data()))

def make_without_arguments():
    arguments = make()[1:]
    arguments[0](arguments[1])
    return (lambda: loss(*arguments)),

def running():
    net = model()
    net[1] = torch.nn.BatchNorm1d(4).double()
    return loss, net, *map(torch.tensor, data())

number = 3

def needs(x):
    return make()

def gives_no_function():
    return 3, 4

def fails():
    raise RuntimeError("no disk left")

def ends():
    raise SystemExit(0)

def gives_no_loss():
    return (lambda model: 3), model()
"""
PORT = """
import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from data import data
from original import model

def loss(p, x, y, eps=1e-5):
    h = x @ p["w"] + p["b"]
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + eps)
    return ((h * p["scale"] + p["shift"] - y) ** 2).mean()

def params():
    layer, norm = model()
    names = {"w": layer.weight.T, "b": layer.bias, "scale": norm.weight, "shift": norm.bias}
    return {name: jnp.asarray(a.detach().numpy()) for name, a in names.items()}

def make():
    return loss, params(), *data()

def batch_loss(p, stats, x, y):
    h = x @ p["w"] + p["b"]
    mean, var = h.mean(0), h.var(0)
    seen = {"mean": mean, "var": var * len(x) / (len(x) - 1)}
    new = {name: 0.9 * stats[name] + 0.1 * seen[name] for name in seen}
    h = (h - mean) / jnp.sqrt(var + 1e-5)
    return ((h * p["scale"] + p["shift"] - y) ** 2).mean(), {"stats": new}

def running(var=1.0):
    return batch_loss, params(), {"mean": jnp.zeros(4), "var": jnp.full(4, var)}, *data()

def other_start():
    return running(2.0)

def other_eps():
    return (lambda *given: loss(*given, eps=1e-3)), params(), *data()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("programs")
    for name, text in (("data", DATA), ("original", ORIGINAL), ("port", PORT)):
        (made / f"{name}.py").write_text(text)
    return made


def process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    command = [sys.executable, "-m", "gradparity.cli", "align", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def align(folder: Path, monkeypatch: pytest.MonkeyPatch, in_float64: None) -> Callable[..., Result]:
    """Run the command in the folder of the programs, in this process."""
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(main, ["align", *arguments])


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_model_and_its_port_are_the_same(folder: Path) -> None:
    ran = process(folder, "original.py:make", "port.py:make")
    assert ran.returncode == 0, ran.stderr
    assert "'original.py:make' and 'port.py:make' are the same" in words(ran.stdout)


def test_a_difference_with_its_files(folder: Path, align: Callable[..., Result]) -> None:
    files = ("--report", "page.html", "--json", "found.json")
    ran = align(*files, "original.py:make_nested", "port:other_eps")
    assert ran.exit_code == 1, ran.stderr
    assert "differ: they first part at 'native_layer_norm_1'" in words(ran.stdout)
    assert "eps is 1e-05 here and 0.001 there" in words(ran.stdout)
    document = json.loads((folder / "found.json").read_text())
    assert len(document["runs"]) == 3
    assert "eps is 1e-05 here" in (folder / "page.html").read_text()


def test_states_that_a_jax_function_returns(align: Callable[..., Result]) -> None:
    ran = align("--has-aux", "original.py:running", "port.py:running")
    assert ran.exit_code == 0, ran.stderr
    assert "and 2 of 3 states after the step" in words(ran.stdout)
    ran = align("--has-aux", "port.py:other_start", "original.py:running")
    assert ran.exit_code == 1, ran.stderr
    assert "states first part at 'stats.var': it starts from other numbers" in words(ran.stdout)


def test_json_on_standard_output_is_alone_there(folder: Path) -> None:
    ran = process(folder, "--json", "-", "original.py:make", "original:make_without_arguments")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["runs"]


def test_two_versions_import_modules_of_their_own(
    tmp_path: Path, align: Callable[..., Result]
) -> None:
    (tmp_path / "original.py").write_text(ORIGINAL)
    (tmp_path / "data.py").write_text(DATA.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    ran = align("original.py:make", f"{tmp_path}/original.py:make")
    assert ran.exit_code == 1, ran.stderr
    assert "differ: they first part at" in words(ran.stdout)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["my-port.py", "my port.py", "1.2.py", "v1.port.py", "class.py"])
def test_a_file_may_have_any_name(
    folder: Path, tmp_path: Path, name: str, align: Callable[..., Result]
) -> None:
    (tmp_path / name).write_text(PORT)
    for module in ("original.py", "data.py"):
        (tmp_path / module).write_text((folder / module).read_text())
    ran = align("original.py:make", f"{tmp_path / name}:make")
    assert ran.exit_code == 0, ran.stderr
    assert "are the same" in words(ran.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("original.py",), "'original.py' does not name a function"),
        (("nowhere.py:make",), "there is no file nowhere.py"),
        (("nowhere:make",), "cannot load 'nowhere:make'"),
        (("original.py:mak",), "no 'mak' is defined there; did you mean 'make'?"),
        (("original:nothing",), "cannot load 'original:nothing': no 'nothing' is defined there"),
        (("original.py:number",), "is 3; give a function without arguments"),
        (("original.py:needs",), "takes arguments"),
        (("original.py:gives_no_function",), "returned (3, 4); give a function"),
        (("original.py:fails",), "RuntimeError: no disk left (original.py:"),
        (("original.py:ends",), "SystemExit"),
        (("original.py:gives_no_loss",), "f returned 3; return a scalar tensor"),
        (("original.py:make", "--allow", "nonsense"), "nonsense"),
        (("original.py:make", "--json", "nowhere/found.json"), "cannot write"),
    ],
)
def test_a_wrong_target_is_refused_in_words(
    folder: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path, modules = list(sys.path), set(sys.modules)
    ran = CliRunner().invoke(main, ["align", *arguments, "original.py:make"])
    assert ran.exit_code == 2, ran.output
    assert ran.stdout == ""
    assert said in words(ran.stderr)
    assert sys.path == path
    assert not {"original", "data"} & (set(sys.modules) - modules)
