"""`gradparity selftest`."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import elsewhere, last, refused, run, strictly

_elsewhere = pytest.fixture(autouse=True)(elsewhere)

MINE = ("selftest", "my_targets:case", "--adapter", "right")


def test_your_own_case() -> None:
    result = run(*MINE, "--dtype", "float64")
    assert result.exit_code == 0, result.output
    assert last(result).startswith("CAUGHT")
    assert "right" in result.stdout


def test_several_cases_in_one_dtype() -> None:
    result = run("selftest", "my_targets:small", "--adapter", "right", "--dtype", "float32")
    assert "float64" not in result.stdout
    assert last(result).startswith("CAUGHT"), result.output


def test_a_wrong_implementation_is_accused_without_a_fault() -> None:
    result = run("selftest", "my_targets:case", "--adapter", "wrong")
    assert result.exit_code == 1
    assert "ACCUSED WITHOUT A FAULT" in result.stdout
    assert "grad W1" in result.stdout


def test_json_to_a_file_and_to_standard_output(tmp_path: Path) -> None:
    small = ("selftest", "my_targets:small", "--adapter", "right")
    result = run(*small, "--dtype", "float32", "--json", str(tmp_path / "found.json"))
    assert strictly((tmp_path / "found.json").read_text())["schema"] == "gradparity/selftest/1"
    assert last(result).startswith("CAUGHT")
    document = strictly(run(*small, "--dtype", "float64", "--json", "-").stdout)
    assert document["survived"] == 0
    assert {r["adapter"] for r in document["results"]} == {"right"}


def test_nothing_planted_is_unknown() -> None:
    result = run("selftest", "my_targets:empty", "--adapter", "right")
    assert result.exit_code == 2
    assert last(result).startswith("UNKNOWN")


def test_usage_errors_name_what_was_wrong(tmp_path: Path) -> None:
    refused(run("selftest", "my_targets:five"), "my_targets:five")
    refused(run("selftest", "nowhere"), "does not name an object")
    refused(run(*MINE, "--dtype", "float16"), "float16")
    refused(run("selftest", "my_targets:case", "--adapter", "none-such"), "none-such")
    refused(run(*MINE, "--json", str(tmp_path / "no" / "folder")), "cannot write")
    refused(run("selftest", "my_targets:case", "--adapter", "careless"), "W1")


def test_it_is_listed() -> None:
    assert "selftest" in run("--help").stdout
