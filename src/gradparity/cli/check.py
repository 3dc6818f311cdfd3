"""`gradparity check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .output import refuse_unwritable, show, write
from .progress import Progress
from .targets import builtin, load


@click.command("check")
@click.argument("target", required=False)
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    help="float64, float32, tf32, float16 or bfloat16 (repeatable).",
)
@click.option("--case", "patterns", multiple=True, help="Only cases whose name contains this.")
@click.option("--allow", "allow", multiple=True,
              help="A convention that is meant, such as sum (repeatable).")  # fmt: skip
@click.option("--device", help="Device, as the framework calls it.")
@click.option("--detail", type=click.Choice(["auto", "all", "none"]), default="auto",
              help="Node by node for few cases and digits, for all, or for none.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the report as JSON to this file, '-' for standard output.")  # fmt: skip
@click.option("--report", "report_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the report as a page of HTML to this file, or '-'.")  # fmt: skip
def command(
    target: str | None,
    adapters: tuple[str, ...],
    dtypes: tuple[str, ...],
    patterns: tuple[str, ...],
    allow: tuple[str, ...],
    device: str | None,
    detail: str,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Check the built-in cases, or TARGET: package.module:object, a Case or a Network of yours.

    The object may also be a list of cases, or a function without arguments that returns any of
    these.
    """
    from ..adapters.base import AdapterError
    from ..comparisons.check.check import DTYPES
    from ..comparisons.check.check import check as run_check
    from ..comparisons.report.as_text import renderable, text

    refuse_unwritable(json_path, report_path)
    if target and patterns:
        raise click.UsageError(f"--case chooses among the built-in cases; leave it out of {target}")
    try:
        cases, about = load(target) if target else builtin(patterns)
        with Progress() as say:
            report = run_check(
                cases, *adapters, dtypes=dtypes or DTYPES, device=device, progress=say,
                about=about, allow=allow,
            )  # fmt: skip
    except (AdapterError, ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if json_path is not None:
        write(json_path, report.to_json())
    if report_path is not None:
        write(report_path, report.to_html(title=target or "the built-in cases"))
    if "-" not in (str(json_path), str(report_path)):
        show(report, renderable, text, detail)
    sys.exit(report.exit_code)
