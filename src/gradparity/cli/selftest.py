"""`gradparity selftest`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .output import refuse_unwritable, write
from .progress import Progress
from .targets import load


@click.command("selftest")
@click.argument("target", required=False)
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option("--dtype", "dtypes", multiple=True, help="float64 or float32 (repeatable).")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the random inputs.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the results as JSON to this file, '-' for standard output.")  # fmt: skip
def command(
    target: str | None,
    adapters: tuple[str, ...],
    dtypes: tuple[str, ...],
    seed: int,
    json_path: Path | None,
) -> None:
    """Plant faults and report which were caught: in every op and adapter, or in your own TARGET.

    TARGET is package.module:object, a Case or a Network of yours, as for `gradparity check`: would
    a wrong gradient have been noticed on it?

    Exit codes: 0 every fault was caught; 1 some survived, or something was accused without a fault;
    2 nothing was planted, or a usage error.
    """
    from ..adapters.base import AdapterError
    from ..comparisons.selftest.run import DTYPES
    from ..comparisons.selftest.run import selftest as run_selftest

    refuse_unwritable(json_path)
    try:
        cases = load(target)[0] if target else None
        with Progress() as say:
            found = run_selftest(cases, *adapters, dtypes=dtypes or DTYPES, seed=seed, progress=say)
    except (AdapterError, ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if json_path is not None:
        write(json_path, found.to_json())
    if str(json_path) != "-":
        click.echo(str(found))
    sys.exit(found.exit_code)
