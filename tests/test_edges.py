"""Wrong arguments, names and files at the edge: a message in words, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import gradparity as gp
from gradparity.adapters import AdapterError
from gradparity.cli import main
from gradparity.core import L2, Affine, ReLU

from command_line import install_adapters

NET = gp.layered([Affine(3, 2), ReLU()], L2())
CASE = gp.Case.random(NET, batch=4)
REPORT = gp.check(CASE, gp.backprop, dtypes=["float64"])

#: Values that are valid for few arguments.
VALUES: dict[str, Any] = {
    "None": None,
    "empty": "",
    "long": "x" * 100_000,
    "-1": -1,
    "1.5": 1.5,
    "nan": float("nan"),
    "huge": 10**5000,
    "object": object(),
    "[]": [],
    "{}": {},
    "[None]": [None],
    "{1: 2}": {1: 2},
    "bytes": b"x",
    "integers": np.ones((4, 3), int),
    "complex": np.ones((4, 3), complex),
    "words": np.array(["a", "b"]),
    "surrogate": "\ud800",
    "mixed": [1, "a"],
}


def _relu(y: Any) -> Any:
    return np.maximum(y, 0)


def _backward(dz: Any, y: Any) -> Any:
    return dz * (y > 0)


def _half_squares(A: Any, Y: Any) -> Any:
    return ((A - Y) ** 2).sum() / 2 / len(A), (A - Y) / len(A)


ONE = {"dtypes": ["float64"]}
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "check": (
        lambda cases, implementation, **o: gp.check(cases, implementation, **o),
        {"cases": CASE, "implementation": gp.backprop, **ONE, "device": None, "progress": None,
         "about": None, "allow": (), "strict": False},
    ),
    "OwnOp": (
        gp.OwnOp,
        {"forward": _relu, "backward": _backward, "reference": ReLU(), "width": None,
         "shape": None, "fixed": (), "allow": (), "strict": False, "name": "mine"},
    ),
    "Case": (
        gp.Case,
        {"network": NET, "params": CASE.params, "x": CASE.x, "d": CASE.d, "name": "a",
         "precision": None, "twin": {}},
    ),
    "Case.random": (
        gp.Case.random,
        {"network": NET, "batch": 4, "seed": 0, "x": None, "dtype": "float64", "name": "a"},
    ),
    "layered": (gp.layered, {"ops": [ReLU()], "divergence": L2(), "reduction": "sum", "scale": 1}),
    "Network": (
        lambda node, **o: gp.Network(node, **o),
        {"node": gp.Node("y", ReLU(), "x"), "divergence": L2(), "output": "y", "weights": None,
         "reduction": "mean", "inputs": ("x",), "fixed": (), "parameters": None, "ends": None},
    ),
    "Node": (
        lambda name, op, taken: gp.Network(gp.Node(name, op, taken), divergence=L2()),
        {"name": "y", "op": ReLU(), "taken": "x"},
    ),
    "OwnNetwork": (
        gp.OwnNetwork,
        {"cases": CASE, "implementation": gp.backprop, "name": "a", "allow": (),
         "strict": False},
    ),
    "LayerStack": (
        gp.LayerStack,
        {"layers": [], "loss": _half_squares, "weights": "out, in", "samples": "rows",
         "targets": "desired", "parameters": None, "name": "a"},
    ),
    "from_json": (gp.Report.from_json, {"text": REPORT.to_json()}),
    "get_adapter": (gp.get_adapter, {"name": "torch"}),
    "judge": (gp.judge, {"case": CASE, "trace": gp.backprop(CASE), "allow": ()}),
    "backprop": (gp.backprop, {"case": CASE}),
    "selftest": (
        lambda adapter, **given: gp.comparisons.selftest([], adapter, **given),
        {"adapter": gp.backprop, "dtypes": ["float64"], "seed": 0},
    ),
    "compare": (gp.comparisons.compare, {"before": REPORT, "after": REPORT}),
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_refused_in_words(call: str, value: str) -> None:
    function, given = CALLS[call]
    for name in given:
        try:
            function(**{**given, name: VALUES[value]})
        except (TypeError, ValueError, AdapterError) as error:
            said, last = str(error), error.__traceback__
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            assert last is not None
            where = last.tb_frame.f_code.co_filename
            assert f"{os.sep}gradparity{os.sep}" in where, f"{name}: {said} ({where})"
            assert len(said) < 600, f"{name}: {said[:200]}"
            assert "\n" not in said, f"{name}: {said}"
            for words in ("ambiguous", "unhashable", "has no attribute", "not supported between"):
                assert words not in said, f"{name}: {said}"


def test_long_names_are_cut_and_surrogates_written_as_escapes() -> None:
    def mine(case: gp.Case) -> Any:
        return {"x" * 100_000: 1, "\ud800": 2}

    def raises(case: gp.Case) -> Any:
        raise ValueError("\ud800" + "y" * 100_000)

    long = gp.Case.random(NET, batch=4, name="n" * 100_000)
    for report in (gp.check(long, mine), gp.check(long, raises)):
        assert report.exit_code == 2
        for text in (str(report), report.diagnosis()):
            assert len(text.encode()) < 4000
        assert report.to_html().encode()
        assert gp.Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("options", [(), ("--json", "-"), ("--report", "-")])
def test_a_full_disk_behind_standard_output(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    command = [sys.executable, "-m", "gradparity.cli", "list"]
    if options:
        site = install_adapters(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        command = [*command[:-1], "check", "--case", "net-tanh", "--adapter", "right", *options]
        command += ["--dtype", "float64"]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "No space left" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_full_disk_leaves_nothing_half_written(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "before.json"
    before.write_text(REPORT.to_json(), encoding="utf-8")
    target = tmp_path / "target"
    target.write_text("as it was", encoding="utf-8")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    ran = CliRunner().invoke(main, ["compare", str(before), str(before), option, str(target)])
    assert ran.exit_code == 2
    assert "No space left" in ran.output.splitlines()[-1]
    assert target.read_text(encoding="utf-8") == "as it was"
    assert sorted(tmp_path.iterdir()) == [before, target]


DOCUMENT = json.loads(REPORT.to_json())
DAMAGED = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep runs": f'{{"schema": "{DOCUMENT["schema"]}", "runs": {"[" * 50_000}{"]" * 50_000}}}',
    "keys twice": REPORT.to_json()[:-1] + ', "runs": []}',
    "a huge integer": "9" * 5000,
    "empty": "",
    "null": "null",
    "a long schema": json.dumps({**DOCUMENT, "schema": "x" * 10_000_000}),
    "a number for a name": json.dumps({**DOCUMENT, "runs": [{**DOCUMENT["runs"][0], "case": 1}]}),
    "NaN for a name": json.dumps(
        {**DOCUMENT, "runs": [{**DOCUMENT["runs"][0], "case": float("nan")}]}
    ),
    "a long string for runs": json.dumps({**DOCUMENT, "runs": "x" * 10_000_000}),
    "an unknown node": json.dumps(DOCUMENT).replace('"inputs": ["z1"]', '"inputs": ["z9"]'),
    "a surrogate": json.dumps(DOCUMENT).replace('"case": "case"', '"case": "\\ud800"'),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_report_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    good, bad, page = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "page.html"
    good.write_text(REPORT.to_json(), encoding="utf-8")
    bad.write_text(DAMAGED[damage], encoding="utf-8")
    with pytest.raises(ValueError, match=r".") as refused:
        gp.Report.from_json(DAMAGED[damage])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
    for pair in ((good, bad), (bad, good)):
        ran = CliRunner().invoke(main, ["compare", *map(str, pair), "--report", str(page)])
        assert ran.exit_code == 2, ran.output
        assert isinstance(ran.exception, SystemExit)
        assert ran.output.splitlines()[-1].startswith("Error: cannot compare")
        assert not page.exists()
