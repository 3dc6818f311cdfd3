"""Examples of one's own code: what is right passes, each mistake is named, the page is current."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradparity as gp

EXAMPLES = Path(__file__).parent.parent / "examples"
#: The functions of the examples that make reports.
REPORTS = {"alone", "diagnoses", "in_a_network"}
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The example of this name, imported as a script has it; each of its reports is made once."""
    before = set(sys.modules)
    sys.path.insert(0, str(EXAMPLES))
    module: Any = importlib.import_module(request.param)
    for name in REPORTS & vars(module).keys():
        setattr(module, name, cache(getattr(module, name)))
    yield module
    sys.path.remove(str(EXAMPLES))
    for name in set(sys.modules) - before & {"mytorch", "mytorch_referee", "custom_gradients"}:
        sys.modules.pop(name)


def bad(report: gp.Report) -> dict[tuple[str, str], str]:
    """(quantity, node) of what is wrong -> why."""
    return {(f.quantity, f.node): f.note for _, f in report.findings() if f.parity is False}


def masked(text: str) -> str:
    """Without digits, which the last bits of another machine's arithmetic may change."""
    return re.sub(r"[-+]?\d[\d.e+-]*", "0", text)


def written(name: str) -> str:
    """What stands in the page between the markers of this name."""
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


@pytest.mark.parametrize("example", ["mytorch_referee"], indirect=True)
class TestMytorch:
    def test_the_right_network_passes_and_each_mistake_is_named(self, example: ModuleType) -> None:
        right, twice, mask, inner = example.diagnoses().values()
        assert right
        assert set(bad(twice)) == {("grad b1", "z1"), ("grad b2", "z2"), ("grad b3", "z3")}
        assert all("divided by the batch of 32 once more" in why for why in bad(twice).values())
        assert set(bad(mask)) == {("grad z1", "y1")}
        assert set(bad(inner)) == {("grad z2", "y2")}
        assert "input and output exchanged" in bad(mask)["grad z1", "y1"]
        assert "input and output exchanged" in bad(inner)["grad z2", "y2"]

    def test_two_lines_are_two_and_what_is_shown_is_right(self, example: ModuleType) -> None:
        shown = example.lines().removeprefix("```python\n").removesuffix("\n```")
        definition, given = shown.split("\n\n\n")
        assert len(definition.splitlines()) == 2
        assert eval(given, vars(example))

    def test_the_page_says_what_is_said(self, example: ModuleType) -> None:
        assert written("mytorch_lines") == example.lines()
        assert masked(written("mytorch")) == masked(example.text())


@pytest.mark.parametrize("example", ["custom_gradients"], indirect=True)
class TestCustomGradients:
    @pytest.fixture(autouse=True)
    def _frameworks(self) -> None:
        pytest.importorskip("torch")
        pytest.importorskip("jax")

    def test_alone(self, example: ModuleType) -> None:
        for name, report in example.alone().items():
            assert bool(report) == ("ean" in name), report
            if not report:
                assert set(bad(report)) == {("grad y", "z")}
                assert any("a term left out" in why for why in bad(report).values())

    def test_in_a_network(self, example: ModuleType) -> None:
        lean, forgetful = example.in_a_network().values()
        assert lean
        assert set(bad(forgetful)) == {("grad z1 -> y1", "y1")}
        assert {run.adapter for run in forgetful.runs if run.exit_code == 1} == {
            "torch, forgetful",
            "jax, forgetful",
        }

    def test_from_end_to_end(self, example: ModuleType) -> None:
        assert gp.check(example.NETWORK, example.my_model)

    def test_the_page_says_what_is_said(self, example: ModuleType) -> None:
        assert masked(written("custom_gradients")) == masked(example.text())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="alone"),
        pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.slow),
    ],
)
def test_the_pytest_project(options: tuple[str, ...], tmp_path: Path) -> None:
    """As its README says, but for what is written into the folder."""
    report = tmp_path / "report.json"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options,
         f"--gradparity-report={report}"],
        cwd=EXAMPLES / "pytest_project", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "43 passed, 7 xfailed" in run.stdout
    assert report.read_text().startswith('{\n "schema": "gradparity/pytest/1"')


class TestFirstScreen:
    """What the README opens with is what the examples are, and what they print."""

    README = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        "name", ["example", "output", "fault", "diagnosis", "models", "aligned"]
    )
    def test_the_readme_is_current(self, name: str) -> None:
        sys.path.insert(0, str(EXAMPLES))
        try:
            text = getattr(importlib.import_module("first_screen"), name)()
        finally:
            sys.path.remove(str(EXAMPLES))
        found = self.README.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
        assert self.comparable(found) == self.comparable(text)

    @staticmethod
    def comparable(text: str) -> list[str]:
        """Its words, without versions and digits; where they wrap depends on these."""
        text = re.sub(r"(?<=```text\n)gradparity .*?\n\n", "", text, flags=re.DOTALL)
        return re.sub(r"\b(exact|rounding)\b", "right", masked(text)).split()

    def test_it_names_the_node_and_the_line(self) -> None:
        assert "mismatch in grad addmm_1 -> Swish_1 at node 'Swish_1'" in self.README
        assert "(1, wrong_term.py:" in self.README

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_picture_is_there(self, scheme: str) -> None:
        path = EXAMPLES.parent / "docs" / "_static" / f"report-{scheme}.png"
        assert f"docs/_static/{path.name}" in self.README
        assert path.read_bytes().startswith(b"\x89PNG")


class TestDifferences:
    """The table of differences between PyTorch and JAX is what its command prints."""

    PAGE = EXAMPLES.parent / "docs" / "explanation" / "differences.md"

    @pytest.mark.parametrize("example", ["differences"], indirect=True)
    def test_the_page_is_current(self, example: ModuleType) -> None:
        text = self.PAGE.read_text(encoding="utf-8")
        found = text.partition("<!-- differences -->\n")[2].partition("\n<!-- /differences -->")[0]
        assert len(example.DIFFERENCES) == 20
        assert found.splitlines() == example.differences().splitlines()
