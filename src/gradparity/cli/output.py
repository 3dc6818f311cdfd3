"""Output of a command: to a terminal or a pipe, and to files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
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
            raise click.UsageError(f"cannot write {str(path)!r}; give a file in a folder there is")


def write(path: Path, document: str) -> None:
    """To standard output for "-"; else it takes the place of the file when it is complete."""
    if str(path) == "-":
        click.echo(document)
        return
    if path.exists() and not path.is_file():  # a device or a pipe is written to, not replaced
        path.write_text(document + "\n", encoding="utf-8")
        return
    path = path.resolve()  # a link stays one
    part = ""
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(document + "\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # mkstemp makes it for its owner alone
        os.replace(part, path)
    except (OSError, UnicodeError) as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {path}: {error}") from error


def show(result: Any, renderable: Callable[..., Any], text: Callable[..., str], *how: Any) -> None:
    """To a terminal in colour and at its width; plain and 80 wide when piped."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(renderable(result, *how))
    else:
        click.echo(text(result, *how))
