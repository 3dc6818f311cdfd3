"""`gradparity probe`: what it prints, stores and compares, and what it exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.atlas.structures.departures import Departure, Structures

from command_line import elsewhere, last, refused, run, strictly

_elsewhere = pytest.fixture(autouse=True)(elsewhere)
RIGHT = ("probe", "--adapter", "right", "--workers", "0")


def stored(path: Path, name: str = "atlas.json") -> Path:
    result = run(*RIGHT, "--json", name)
    assert result.exit_code == 0, result.output
    return path / name


def test_prints_the_atlas() -> None:
    result = run(*RIGHT)
    assert result.exit_code == 0
    assert result.stdout.startswith("right 1.2 · ")
    assert "Hardtanh" in result.stdout
    assert last(result).endswith("entries, 0 outside the subdifferential, 0 unsupported")
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert run(*RIGHT).stdout == result.stdout


def test_writes_json(tmp_path: Path) -> None:
    document = strictly(run(*RIGHT, "--json", "-").stdout)
    assert document["schema"] == "gradparity/atlas/2"
    assert document["versions"] == {"right": {"right": "1.2"}}
    assert strictly(stored(tmp_path).read_text()) == document


def test_without_a_change_exits_0(tmp_path: Path) -> None:
    stored(tmp_path)
    result = run(*RIGHT, "--diff", "atlas.json")
    assert result.exit_code == 0
    assert last(result) == "NO CHANGE"


def test_a_change_exits_1_and_is_told(tmp_path: Path) -> None:
    path = stored(tmp_path)
    document = json.loads(path.read_text())
    entry = next(e for e in document["entries"] if e["spelling"] == "ReLU")
    entry["taken"] = [0.5]
    document["entries"] = document["entries"][:-1]
    document["versions"]["right"]["right"] = "1.1"
    path.write_text(json.dumps(document))
    result = run(*RIGHT, "--diff", "atlas.json", "--json", "atlas.json")
    assert result.exit_code == 1
    assert "right 1.1 -> 1.2" in result.stdout
    assert "right: ReLU at 0, trace float64: 0.5 -> 1" in result.stdout
    assert "appeared" in result.stdout
    assert last(result).startswith("2 of ")
    assert run(*RIGHT, "--diff", "atlas.json").exit_code == 0  # it was written anew


def test_what_cannot_be_compared_is_a_usage_error(tmp_path: Path) -> None:
    refused(run(*RIGHT, "--diff", "nowhere.json"), "nowhere.json")
    Path("report.json").write_text('{"schema": "gradparity/report/1"}')
    refused(run(*RIGHT, "--diff", "report.json"), "report.json", "gradparity/atlas/2")
    Path("broken.json").write_bytes(b"\xff{")
    refused(run(*RIGHT, "--diff", "broken.json"), "broken.json")
    stored(tmp_path)
    others = (
        "probe",
        "--adapter",
        "careless",
        "--workers",
        "0",
        "--diff",
        "atlas.json",
        "--json",
        "new.json",
    )
    refused(run(*others, "--json", "new.json"), "right", "careless")
    assert not (tmp_path / "new.json").exists()
    refused(run(*RIGHT, "--compile", "--diff", "atlas.json"), "--compile")


def test_other_usage_errors(tmp_path: Path) -> None:
    refused(run("probe", "--adapter", "nobody"), "nobody", "registered")
    refused(run(*RIGHT, "--adapter", "right"), "once")
    refused(run(*RIGHT, "--json", "no/such/folder.json"), "no/such/folder.json")
    stored(tmp_path)
    refused(run(*RIGHT, "--json", "-", "--diff", "atlas.json"), "--diff")


def test_structures(tmp_path: Path) -> None:
    """What a file has and the adapter has not is a change; other atlases are not compared."""
    gone = Departure("right", "exp", "3 elements", "trace", "float32", "value y1", "wrong",
                     "x", "0", "1")  # fmt: skip
    versions = {"right": {"right": "1.1"}}
    before = Atlas(versions, "x86_64", False, (), structures=Structures((gone,), (), 1, 1))
    (tmp_path / "structures.json").write_text(before.to_json())
    only = ("--structures", "--function", "exp")
    result = run(*RIGHT, *only, "--diff", "structures.json", "--json", "after.json")
    assert result.exit_code == 1, result.output
    assert "right 1.1 -> 1.2" in result.stdout
    line = "right: exp, value y1 with 3 elements, trace float32: disappeared, was wrong: 0, true 1"
    assert line in result.stdout
    after = Atlas.from_json((tmp_path / "after.json").read_text())
    assert after.structures is not None
    assert not [d for d in after.structures.departures if d.status == "wrong"]
    refused(run(*RIGHT, "--diff", "structures.json"), "--structures")


def test_structures_and_smooth_are_two_atlases() -> None:
    refused(run(*RIGHT, "--structures", "--smooth"), "give one of")
