"""`gradparity selftest`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import options
from .output import refuse_unwritable, write
from .progress import progress_bar
from .targets import load


@click.command("selftest")
@click.argument("target", required=False)
@options.adapters
@options.dtypes("float64 or float32")
@options.seed
@options.output_file("json", "the results as JSON")
def command(
    target: str | None,
    adapters: tuple[str, ...],
    dtypes: tuple[str, ...],
    seed: int,
    json_path: Path | None,
) -> None:
    """Plant faults in every op and adapter, or in your own TARGET, and report which were caught.

    TARGET is file.py:object or package.module:object, your own Case or Network, as for `gradparity
    check`: would a wrong gradient be noticed on it?

    Exit codes: 0 every fault was caught; 1 some survived, or there was a finding without a fault; 2
    nothing was planted, or a usage error.
    """
    from ..comparisons.selftest.run import DTYPES
    from ..comparisons.selftest.run import selftest as run_selftest

    refuse_unwritable(json_path)
    with options.usage_errors():
        cases = load(target)[0] if target is not None else None
        with progress_bar() as say:
            found = run_selftest(cases, *adapters, dtypes=dtypes or DTYPES, seed=seed, progress=say)
    write(json_path, found.to_json)
    if str(json_path) != "-":
        click.echo(str(found))
    sys.exit(found.exit_code)
