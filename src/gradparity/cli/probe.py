"""`gradparity probe`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import options
from .output import refuse_unwritable, show, write
from .progress import progress_bar


@click.command("probe")
@options.adapters
@options.output_file("json", "the atlas as JSON")
@click.option("--diff", "diff_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Print what changed since this atlas was written.")  # fmt: skip
@click.option(
    "--compile", "compiled", is_flag=True, help="Also measure torch.compile, which is slow."
)
@click.option(
    "--smooth", is_flag=True, help="Measure where functions lose digits, instead of kinks."
)
@click.option(
    "--structures", is_flag=True,
    help="Measure what ops give on structured inputs, instead of kinks.",
)  # fmt: skip
def command(
    adapters: tuple[str, ...],
    json_path: Path | None,
    diff_path: Path | None,
    compiled: bool,
    smooth: bool,
    structures: bool,
) -> None:
    """Measure each framework's subgradient at every kink and tie: the atlas of kinks.

    With --smooth, measure where activations, losses and special functions lose digits.
    With --structures, measure every op on equal values, large offsets, masked rows, empty axes,
    labels out of range, and inputs stored in other ways; results that are not right are listed.

    Exit codes: 0 success; 1 with --diff, if anything changed; 2 a usage error.
    """
    from ..comparisons.atlas.as_text import changes_text, renderable
    from ..comparisons.atlas.probe import probe
    from ..comparisons.atlas.smooth_probe import probe_smooth
    from ..comparisons.structures.probe import probe_structures

    if smooth and structures:
        raise click.UsageError("--smooth and --structures measure two atlases; give one of them")
    to_stdout = str(json_path) == "-"
    refuse_unwritable(json_path)
    if to_stdout and diff_path is not None:
        raise click.UsageError("--json - and --diff both write to standard output; give a file")
    stored = None if diff_path is None else stored_atlas(diff_path)
    with options.usage_errors():
        with progress_bar() as say:
            measure = probe_smooth if smooth else probe_structures if structures else probe
            try:
                atlas = measure(*adapters, compile=compiled, progress=say)
            except ImportError as error:
                raise click.UsageError(str(error)) from error
        changes = [] if stored is None else stored.diff(atlas)
    write(json_path, atlas.to_json)
    if stored is not None:
        click.echo(changes_text(changes, stored, atlas))
    elif not to_stdout:
        show(renderable(atlas))
    sys.exit(1 if changes else 0)


def stored_atlas(path: Path) -> Any:
    """Read an atlas that a command was given."""
    from ..comparisons.atlas.stored import Atlas

    try:
        return Atlas.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read the atlas {path}: {error}") from error
