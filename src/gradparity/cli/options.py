"""Options that several commands share, and errors that end a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

__all__ = ["adapters", "dtypes", "output_file", "seed", "usage_errors"]

adapters = click.option(
    "--adapter", "adapters", multiple=True, help="Use this adapter (repeatable)."
)
seed = click.option(
    "--seed", type=click.IntRange(0), default=0, help="Seed of the random numbers; 0 by default."
)


def dtypes(names: str) -> Callable[[Any], Any]:
    """The option ``--dtype``; its help lists the valid `names`."""
    return click.option("--dtype", "dtypes", multiple=True, help=f"{names} (repeatable).")


def output_file(name: str, what: str) -> Callable[[Any], Any]:
    """An option such as ``--json FILE``, for a file to write; "-" is standard output."""
    kind = click.Path(path_type=Path, dir_okay=False)
    said = f"Write {what} to this file, or to standard output if it is '-'."
    return click.option(f"--{name}", f"{name}_path", type=kind, help=said)


@contextmanager
def usage_errors() -> Iterator[None]:
    """End the command with exit code 2 and the message of an error about its input."""
    from ..adapters.base import AdapterError

    try:
        yield
    except (AdapterError, ImportError, TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
