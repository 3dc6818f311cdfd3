"""Output of a command: to a terminal or a pipe, and to files, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["refuse_unwritable", "show", "write"]


def refuse_unwritable(*paths: Path | None) -> None:
    """Raise click.UsageError for files that cannot be written; "-" is standard output."""
    given = [path for path in paths if path is not None]
    if len(given) != len({path.absolute() for path in given}):
        raise click.UsageError(f"{str(given[0])!r} is given twice; give each a file of its own")
    for path in given:
        if str(path) != "-" and (path.is_dir() or not path.parent.is_dir()):
            raise click.UsageError(
                f"cannot write {str(path)!r}; give a file in a folder that exists"
            )


def write(path: Path | None, document: Callable[[], str]) -> None:
    """Write a document to a file, or to standard output for "-"; without a path do nothing."""
    from ..testing.files import write_whole

    if path is None:
        return
    text = document()
    if str(path) == "-":
        click.echo(text)
        return
    try:
        write_whole(path, text + "\n")
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"cannot write {path}: {error}") from error


def show(what: Any, *, err: bool = False) -> None:
    """Print a renderable of `rich`: in colour at the terminal's width, or plain when piped.

    It goes to standard output, or with `err` to standard error.
    """
    from rich.console import Console

    from ..comparisons.findings.layout import plain_text
    from ..core.arithmetic.received import printable

    console = Console(highlight=False, stderr=err)
    if console.is_terminal:
        console.print(what)
    else:
        click.echo(printable(plain_text(what)), err=err)
