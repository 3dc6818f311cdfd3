"""The command line: one file per command, listed in `COMMANDS`."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["COMMANDS", "main"]

#: Command -> its file here, in the order of `gradparity --help`.
COMMANDS = {
    "check": "check",
    "compare": "compare",
    "list": "listing",
    "formulas": "formulas",
    "train": "train",
    "selftest": "selftest",
    "probe": "probe",
}


class Commands(click.Group):
    """Commands whose module is imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{COMMANDS[name]}").command
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradparity")
def main() -> None:
    """Do two implementations of a neural network compute the same gradient?

    Exit codes: 0 parity, 1 a difference, 2 unknown, nothing compared, or a usage error.
    """
