"""docs/how-to/upgrade.md: its commands exist; tests/docs/test_snippets.py runs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradparity.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "upgrade.md"
COMMANDS = re.findall(r"^\$ gradparity (.*?)$", PAGE.read_text("utf-8"), re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_options_exist(command: str) -> None:
    name, *given = command.split()
    with main.make_context("gradparity", [name, *given], resilient_parsing=True) as context:
        called = main.get_command(context, name)
    assert called is not None
    options = {name for option in called.params for name in option.opts}
    assert {each for each in given if each.startswith("-")} <= options


def test_the_workflow_has_the_commands_of_the_job() -> None:
    after = PAGE.read_text("utf-8").partition("<!-- workflow -->")[2]
    workflow = after.partition("```yaml")[2].partition("```")[0]
    for command in COMMANDS[4:9]:
        assert f"gradparity {command}" in workflow
