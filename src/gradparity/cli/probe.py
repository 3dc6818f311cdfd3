"""`gradparity probe`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .output import refuse_unwritable, show, write
from .progress import Progress


@click.command("probe")
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the atlas as JSON to this file, '-' for standard output.")  # fmt: skip
@click.option("--diff", "diff_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Tell what changed since this atlas was written.")  # fmt: skip
@click.option("--compile", "compiled", is_flag=True, help="Ask slow compilers too: torch.compile.")
def command(
    adapters: tuple[str, ...], json_path: Path | None, diff_path: Path | None, compiled: bool
) -> None:
    """Measure what each framework takes at every kink and tie: the atlas of kinks.

    Exit codes: 0; with --diff, 1 if anything changed; 2 a usage error.
    """
    from ..adapters.base import AdapterError
    from ..comparisons.atlas.as_text import renderable, text
    from ..comparisons.atlas.probe import probe

    to_stdout = str(json_path) == "-"
    refuse_unwritable(json_path)
    if to_stdout and diff_path is not None:
        raise click.UsageError("--json - and --diff both write to standard output; give a file")
    stored = None if diff_path is None else _stored(diff_path)
    try:
        with Progress() as say:
            atlas = probe(*adapters, compile=compiled, progress=say)
        changes = [] if stored is None else stored.diff(atlas)
    except (AdapterError, ImportError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    if json_path is not None:
        write(json_path, atlas.to_json())
    if stored is not None:
        from ..comparisons.atlas.as_text import changes_text

        click.echo(changes_text(changes, stored, atlas))
    elif not to_stdout:
        show(atlas, renderable, text)
    sys.exit(1 if changes else 0)


def _stored(path: Path) -> Any:
    """The atlas to compare with, read before anything is measured."""
    from ..comparisons.atlas.stored import Atlas

    try:
        return Atlas.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot compare with {path}: {error}") from error
