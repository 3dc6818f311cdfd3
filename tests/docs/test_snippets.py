"""Every block of code on every page is run, kept true by a test, or at least parsed."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import gradparity

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Commands that .ci/run runs, as they stand in the README; another page may install the same.
SET_UP = ("pip install",)
#: Commands that end with another exit code than 0, and why.
EXITS = {
    "gradparity check --case wide --dtype bfloat16": (1, "JAX is imprecise, as the page says"),
    "gradparity align --report page.html original.py:make port.py:make": (1, "another eps"),
    "pytest --gradparity-require=torch,jax": (1, "the page shows a test that fails"),
    "gradparity selftest mycase:case --adapter torch": (1, "at a ReLU's kink, as the page says"),
}
#: Commands that take longer than ten seconds, and why they must.
SLOW = {
    "gradparity probe": "every function, point, mode and dtype of every framework",
    "gradparity probe --smooth": "every function, number and dtype of every framework",
    "gradparity probe --structures": "every op, structure and dtype of every framework",
    "gradparity finds": "both of these",
    "gradparity probe --smooth --adapter torch --json smooth.json": "every function of PyTorch",
}
#: Commands that are not run, and what runs in their place.
ELSEWHERE = {
    "python tests/docs/test_found.py": "the test itself runs the snippets",
    "python examples/differences.py": "tests/test_examples_own.py runs the pairs",
    "python examples/field_cases.py": "tests/test_field_cases.py runs the cases",
    "python -m sphinx": ".ci/run builds the pages",
    "python -m benchmarks.evidence": "hours; tests/test_evidence.py counts a few of each",
    "python with_": "libraries that are not here; benchmarks/zoo/page.py runs them where they are",
    "gradparity watch with_": "the same",
    "gradparity watch --step 2 --passes 2 trainer.py": "the same",
    "python -m benchmarks.zoo": "hours, and models of other packages; their own environment",
}
#: Blocks that another test holds to the code: how they begin, and which test.
HELD = {
    "E       AssertionError: convention in grad b2": "tests/plugin/test_docs.py",
}
#: Output that is pasted by a command: the comment above it, and the test that it is current.
MARKERS = {
    "floors": "tests/test_architecture.py",
    "example": "tests/test_examples_own.py",
    "output": "tests/test_examples_own.py",
    "fault": "tests/test_examples_own.py",
    "diagnosis": "tests/test_examples_own.py",
    "models": "tests/test_examples_own.py",
    "aligned": "tests/test_examples_own.py",
    "atlas": "tests/comparisons/test_probe.py",
    "accuracy": "tests/comparisons/test_smooth_page.py",
    "reproductions": "tests/finds_rows.py",
    "workflow": "tests/docs/test_upgrade.py",
    "found": "tests/docs/test_found.py",
    "printed": "tests/docs/test_found.py",
    "quoted": "tests/docs/test_pages.py",
    "begin: gradparity selftest": "tests/comparisons/test_selftest.py",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    marker: str  # the comment on the line before

    @property
    def commands(self) -> list[str]:
        """Without the remark behind them."""
        lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return [re.sub(r"\s{2,}#.*", "", line).strip() for line in lines]

    @property
    def file(self) -> str:
        """The name of the file to save it as."""
        named = re.match(r"# ([\w/]+\.\w+)\n", self.text)
        return named[1] if named and self.language == "python" else ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```([^\n]*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        before = text[: match.start()]
        marker = re.search(r"<!-- (.*?) -->\n$", before)
        line = before.count("\n") + 1
        found.append(Block(page, line, match[2], match[3], marker[1] if marker else ""))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def problem(block: Block) -> str:
    """Why nothing keeps a block true; "" if something does."""
    if block.language.startswith("{"):
        return ""  # a directive: the build of the pages reads it
    if block.marker and not block.marker.startswith("/"):
        return "" if block.marker in MARKERS else f"no test reads the marker {block.marker!r}"
    if any(block.text.startswith(start) for start in HELD):
        return ""
    if ">>>" in block.text:
        return "" if block.language == "python" else "a doctest is written in ```python"
    if block.language in ("console", "sh"):
        return _no_command(block)
    parse = {"python": ast.parse, "toml": tomllib.loads, "json": json.loads}.get(block.language)
    if parse is None:
        return f"nothing runs or parses a block of {block.language or 'no language'}"
    try:
        parse(block.text)
    except ValueError as error:  # SyntaxError is none
        return str(error)
    except SyntaxError as error:
        return str(error)
    return ""


def _no_command(block: Block) -> str:
    if block.language == "sh":
        lines = block.text.strip().splitlines()
        ours = all(any(word in line for word in SET_UP) for line in lines)
        return "" if ours else "commands that are to be run are written `$ ` in ```console"
    return "" if block.commands else "no line begins with `$ `"


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_something_keeps_every_block_true(block: Block) -> None:
    assert not problem(block)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("", "anything"),
        ("text", "1.5 u"),
        ("bash", "ls"),
        ("console", "gradparity check"),
        ("sh", "gradparity check"),
        ("python", "def f(:"),
        ("toml", "a = "),
        ("json", "{"),
        ("", ">>> 1\n1"),
    ],
)
def test_what_nothing_keeps_true_is_refused(language: str, text: str) -> None:
    assert problem(Block(PAGES[0], 1, language, f"{text}\n", ""))


def test_a_marker_that_no_test_reads_is_refused() -> None:
    assert problem(Block(PAGES[0], 1, "text", "1\n", "unheard"))
    assert not problem(Block(PAGES[0], 1, "text", "1\n", "atlas"))


def test_every_doctest_is_collected() -> None:
    """By the glob of pyproject.toml."""
    pages = {b.page for b in BLOCKS if ">>>" in b.text}
    assert ROOT / "docs" / "reference" / "notation.md" in pages
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "docs"]
    collected = subprocess.run(
        [*command, "README.md"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    missing = [p for p in pages if f"{p.relative_to(ROOT)}::" not in collected]
    assert not missing


def chained(page: Path) -> list[Block]:
    """The blocks of a page that are run one after the other in one folder."""
    return [b for b in blocks(page) if b.file or (b.language == "console" and not b.marker)]


def skipped(command: str) -> bool:
    return any(word in command for word in (*SET_UP, *ELSEWHERE))


def runs() -> Iterator[pytest.ParameterSet]:
    for page in PAGES:
        commands = [c for b in chained(page) for c in b.commands if not skipped(c)]
        if commands:
            slow = any(command in SLOW for command in commands)
            marks = [pytest.mark.slow if slow else pytest.mark.commands]
            yield pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("page", list(runs()))
def test_commands_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """In order, with the files that the page has to be saved; what it prints ends as shown."""
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    source = str(Path(gradparity.__file__).parents[1])
    environment = {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": source}
    for block in chained(page):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        for command in block.commands:
            if skipped(command):
                continue
            wanted, why = EXITS.get(command, (0, ""))
            run = subprocess.run(
                shlex.split(command), cwd=tmp_path, env=environment, check=False,
                capture_output=True, text=True,
            )  # fmt: skip
            assert run.returncode == wanted, f"{block}: {command}\n{run.stdout}{run.stderr}{why}"
            shown = _shown(block, command)
            if shown:
                assert _masked(shown[-1]) in _masked(run.stdout), f"{block}: {command}"


def _shown(block: Block, command: str) -> list[str]:
    """The lines of output below a command."""
    _, _, after = block.text.partition(f"$ {command}")
    return [line for line in after.partition("\n$ ")[0].splitlines()[1:] if line.strip()]


def _masked(text: str) -> str:
    """Without digits, which the last bits of another machine's arithmetic may change."""
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "#", text)


def test_the_lists_name_what_is_there() -> None:
    """An entry that fits no command any more is to be deleted."""
    commands = [command for block in BLOCKS for command in block.commands]
    assert {*EXITS, *SLOW} <= set(commands)
    for word in ELSEWHERE:
        assert any(word in command for command in commands)
    for start in HELD:
        assert any(block.text.startswith(start) for block in BLOCKS)
    for marker, test in MARKERS.items():
        assert any(block.marker == marker for block in BLOCKS)
        assert marker in (ROOT / test).read_text(encoding="utf-8")


def test_the_set_up_is_the_readmes() -> None:
    """.ci/run takes both commands out of the README; other pages install the same."""
    console = [b for b in blocks(ROOT / "README.md") if b.language == "console"]
    first = [c for b in console for c in b.commands][:2]
    assert all("pip install" in command for command in first)
    run = [*first, (ROOT / ".ci" / "run").read_text(encoding="utf-8")]
    for command in (c for b in BLOCKS for c in b.commands if "pip install" in c):
        extras = re.search(r'"?\.\[.*\]"?', command)
        assert extras, command
        assert any(extras[0] in each for each in run), command
