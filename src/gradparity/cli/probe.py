"""`gradparity probe`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from . import options
from .output import refuse_unwritable, show, write
from .progress import progress_bar


def finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse infinity and nan, which are within every range for click."""
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value} is not a number of seconds above 0; give one such as 60")
    return value


@click.command("probe")
@options.adapters
@options.output_file("json", "the atlas as JSON")
@options.output_file("report", "the atlas as a page of HTML")
@click.option("--diff", "diff_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Print what changed since this atlas was written.")  # fmt: skip
@click.option(
    "--compile", "compiled", is_flag=True, help="Also measure torch.compile, which is slow."
)
@click.option(
    "--smooth", is_flag=True, help="Measure where functions lose digits, instead of kinks."
)
@click.option(
    "--structures",
    is_flag=True,
    help="Measure what ops give on structured inputs, instead of kinks.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Measure kinks, digits and structured inputs into one atlas.",
)
@click.option(
    "--function",
    "names",
    multiple=True,
    help="Only functions whose name contains this (repeatable).",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=None,
    help="Number of processes, 0 to measure in this one without a limit; by default one for each "
    "core up to 2, or 0 where Pebble is not installed.",
)
@click.option(
    "--limit",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    callback=finite,
    help="Seconds that one function may take in one number format.",
)
@click.option(
    "--resume", is_flag=True, help="Continue a run with --json FILE that was interrupted."
)
def command(
    adapters: tuple[str, ...],
    json_path: Path | None,
    report_path: Path | None,
    diff_path: Path | None,
    compiled: bool,
    smooth: bool,
    structures: bool,
    everything: bool,
    names: tuple[str, ...],
    workers: int | None,
    limit: float,
    resume: bool,
) -> None:
    """Measure each framework's subgradient at every kink and tie: the atlas of kinks.

    With --smooth, measure where activations, losses and special functions lose digits.
    With --structures, measure every op on equal values, large offsets, masked rows, empty axes,
    labels out of range, and inputs stored in other ways; results that are not right are listed.
    With --all, measure all three.

    With --json FILE, the results so far are in FILE.partial, from which --resume continues.

    Exit codes: 0 success; 1 with --diff, if anything changed; 2 a usage error; 130 interrupted.
    """
    from ..comparisons.atlas.as_text import changes_text, renderable
    from ..comparisons.probing.measuring import PARTS
    from ..comparisons.probing.page import atlas_page
    from ..comparisons.probing.probe import partial_of, probe_parts

    if smooth + structures + everything > 1:
        raise click.UsageError("give one of --smooth, --structures and --all")
    to_stdout = "-" in (str(json_path), str(report_path))
    refuse_unwritable(json_path, report_path)
    if to_stdout and diff_path is not None:
        raise click.UsageError("'-' and --diff both write to standard output; give a file")
    partial = None if json_path is None or str(json_path) == "-" else partial_of(json_path)
    if resume and partial is None:
        raise click.UsageError("--resume needs the file of the run to continue: give --json FILE")
    parts = ("smooth",) if smooth else ("structures",) if structures else ("kinks",)
    stored = None if diff_path is None else stored_atlas(diff_path)
    with options.usage_errors(), interrupted(partial):
        with progress_bar() as say:
            atlas = probe_parts(
                *adapters,
                parts=PARTS if everything else parts,
                compile=compiled,
                names=names,
                workers=usual_workers() if workers is None else workers,
                limit=limit,
                partial=partial,
                resume=resume,
                progress=say,
            )
        found = None if stored is None else stored.compared(atlas)
    write(json_path, atlas.to_json)
    write(report_path, lambda: atlas_page(atlas))
    if stored is not None and found is not None:
        click.echo(changes_text(found, stored, atlas))
    elif not to_stdout:
        show(renderable(atlas))
    sys.exit(1 if found is not None and found.changes else 0)


def usual_workers() -> int:
    """One process for each core up to 2, because a framework needs gigabytes in each."""
    return min(2, os.cpu_count() or 1) if find_spec("pebble") else 0


@contextmanager
def interrupted(partial: Path | None) -> Iterator[None]:
    """End the command with exit code 130 on Ctrl-C, and say how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        none = partial is None or not partial.exists()
        kept = "" if none else "; the results so far are kept, --resume continues"
        click.echo(f"interrupted{kept}", err=True)
        sys.exit(130)


def stored_atlas(path: Path) -> Any:
    """Read an atlas that a command was given."""
    from ..comparisons.atlas.stored import Atlas

    try:
        return Atlas.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read the atlas {path}: {error}") from error
