"""`gradparity compare`: exit codes, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gradparity as gp
from gradparity.cli import main
from gradparity.core import L2, Affine

NET = gp.layered([Affine(3, 2)], L2())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A report of right code, and one of wrong code."""
    paths = tmp_path / "before.json", tmp_path / "after.json"
    for path, factor in zip(paths, (1, 3), strict=True):

        def mine(case: gp.Case, factor: int = factor) -> gp.Trace:
            trace = gp.backprop(case)
            trace.grad["b1"] *= factor
            return trace

        path.write_text(gp.check(NET, mine, dtypes=["float64"]).to_json(), encoding="utf-8")
    return paths


def test_exit_codes_and_the_last_line(files: tuple[Path, Path]) -> None:
    before, after = files
    same = run(before, before)
    assert (same.exit_code, same.output.splitlines()[-1][:9]) == (0, "NO CHANGE")
    worse = run(before, after)
    assert worse.exit_code == 1
    assert "exact -> mismatch" in worse.output
    assert worse.output.splitlines()[-1].startswith("CHANGED  1 worse; 10 quantities in 1 run")


def test_json_and_the_page(files: tuple[Path, Path], tmp_path: Path) -> None:
    found = run(*files, "--json", "-")
    assert json.loads(found.output)["changes"][0]["quantity"] == "grad b1"
    page = tmp_path / "page.html"
    assert run(*files, "--report", page).exit_code == 1
    assert "What changed" in page.read_text(encoding="utf-8")


def test_reports_of_pytest(files: tuple[Path, Path], tmp_path: Path) -> None:
    paths = []
    for path in files:
        tests = [{"nodeid": "test_it.py::test_one", "outcome": "passed", "skipped": {},
                  "reports": [json.loads(path.read_text(encoding="utf-8"))]}]  # fmt: skip
        document = {"schema": "gradparity/pytest/1", "unfinished": [], "tests": tests}
        paths.append(tmp_path / f"pytest-{path.name}")
        paths[-1].write_text(json.dumps(document), encoding="utf-8")
    found = run(*paths)
    assert found.exit_code == 1
    assert "test_it.py::test_one: case" in found.output
    mixed = run(files[0], paths[1])
    assert mixed.exit_code == 2
    assert "compare two of one kind" in mixed.output


def test_a_test_that_is_gone_and_a_check_that_came(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """What was checked before keeps its name when a test checks more."""
    found = json.loads(files[0].read_text(encoding="utf-8"))

    def written(name: str, **reports: list[object]) -> Path:
        tests = [
            {"nodeid": f"test_it.py::{test}", "outcome": "passed", "skipped": {}, "reports": some}
            for test, some in reports.items()
        ]
        document = {"schema": "gradparity/pytest/1", "unfinished": [], "tests": tests}
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
        return tmp_path / name

    both = written("both.json", test_a=[found], test_b=[found])
    alone = written("alone.json", test_a=[found])
    more = written("more.json", test_a=[found, found], test_b=[found])
    gone = run(both, alone)
    assert gone.exit_code == 1
    assert "GONE  test_it.py::test_b: case, mine float64: was run before" in gone.output
    assert last(gone) == "CHANGED  1 gone; 10 quantities in 1 run"
    came = run(both, more)
    assert "NEW  test_it.py::test_a, check 2: case, mine float64" in came.output
    assert last(came) == "CHANGED  1 new; 20 quantities in 2 runs"


def last(result: Result) -> str:
    return result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "its schema is None"),
        ('{"schema": "gradparity/atlas/2"}', "`gradparity probe --diff FILE` compares atlases"),
        ('{"schema": "gradparity/selftest/1"}', "self-tests are not compared"),
        ('{"schema": "gradparity/pytest/1"}', "tests"),
        ('{"schema": "gradparity/report/1", "runs": []}', "missing fields"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema": []}', "its schema is []"),
        ('{"schema": "gradparity/pytest/1", "tests": 3}', "expected an array, received 3"),
        (
            '{"schema": "gradparity/pytest/1", "tests": [{"nodeid": "a"}]}',
            "missing fields: reports",
        ),
    ],
)
def test_what_is_no_report(files: tuple[Path, Path], tmp_path: Path, text: str, said: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text, encoding="utf-8")
    for arguments in ((files[0], bad), (bad, files[0])):
        found = run(*arguments)
        assert found.exit_code == 2
        assert "bad.json" in found.output
        assert said in found.output


def test_files_that_are_not_there_and_cannot_be_written(files: tuple[Path, Path]) -> None:
    assert "cannot compare" in run(files[0], files[0].parent / "none.json").output
    assert "cannot compare" in run(files[0], files[0].parent).output
    refused = run(*files, "--report", files[0].parent / "none" / "page.html")
    assert refused.exit_code == 2
    assert "give a file in a folder that exists" in refused.output
