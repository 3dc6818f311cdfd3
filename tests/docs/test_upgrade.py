"""docs/how-to/upgrade.md: its commands run, and report nothing for the same version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradparity.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "upgrade.md"
COMMANDS = re.findall(r"^\$ gradparity (.*?)(?: \|\| true)?$", PAGE.read_text("utf-8"), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_options_exist(command: str) -> None:
    name, *given = command.split()
    with main.make_context("gradparity", [name, *given], resilient_parsing=True) as context:
        called = main.get_command(context, name)
    assert called is not None
    options = {name for option in called.params for name in option.opts}
    assert {each for each in given if each.startswith("-")} <= options


def test_the_workflow_has_the_commands_of_the_job() -> None:
    workflow = PAGE.read_text("utf-8").partition("```yaml")[2].partition("```")[0]
    for command in COMMANDS[3:7]:
        assert f"gradparity {command}" in workflow


@pytest.mark.slow
def test_nothing_changes_without_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        done = CliRunner().invoke(main, command.split())
        if not command.startswith("check"):
            assert done.exit_code == 0, done.output
