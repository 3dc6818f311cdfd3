"""The command line: one file per command, listed in `COMMANDS`."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from .compiled import keep_compiled

__all__ = ["COMMANDS", "main"]

#: Command -> its file here, in the order of `gradparity --help`.
COMMANDS = {
    "watch": "watch",
    "align": "align",
    "check": "check",
    "compare": "compare",
    "list": "listing",
    "formulas": "formulas",
    "train": "train",
    "selftest": "selftest",
    "probe": "probe",
    "finds": "finds",
}


#: What a shell expects of a program that Ctrl-C has stopped.
INTERRUPTED = 130


class Commands(click.Group):
    """Commands whose module is imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{COMMANDS[name]}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        keep_compiled()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            sys.stdout.flush()
            # At once: the threads of a framework that still compiles crash an orderly exit.
            os._exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            with suppress(OSError, ValueError):  # what is left in the buffer cannot be written
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.UsageError(f"cannot write the output: {error}", ctx) from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradparity")
def main() -> None:
    """Do two implementations of a neural network compute the same gradient?

    Exit codes: 0 parity, 1 a difference, 2 unknown, nothing compared, or a usage error, 130
    interrupted.
    """
