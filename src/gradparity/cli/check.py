"""`gradparity check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import options
from .output import refuse_unwritable, show, write
from .progress import progress_bar
from .targets import builtin, load

IN_TURN = """All cases but the digits took turns, half in float64 and half in float32; for both, add
--dtype float64 --dtype float32."""


@click.command("check")
@click.argument("target", required=False)
@options.adapters
@options.dtypes("float64, float32, tf32, float16 or bfloat16")
@click.option("--case", "patterns", multiple=True,
              help="Only built-in cases whose name contains this (repeatable).")  # fmt: skip
@click.option("--allow", "allow", multiple=True,
              help="Accept this convention, such as sum (repeatable).")  # fmt: skip
@click.option("--strict", is_flag=True, help="Do not accept lossy results: exit with code 1.")
@click.option("--device", help="Device, by the framework's name for it.")
@click.option("--detail", type=click.Choice(["auto", "all", "none"]), default="auto",
              help="Node by node for all cases, for none, or (auto) if there are few.")  # fmt: skip
@options.output_file("json", "the report as JSON")
@options.output_file("report", "the report as an HTML page")
def command(
    target: str | None,
    adapters: tuple[str, ...],
    dtypes: tuple[str, ...],
    patterns: tuple[str, ...],
    allow: tuple[str, ...],
    strict: bool,
    device: str | None,
    detail: str,
    json_path: Path | None,
    report_path: Path | None,
) -> None:
    """Check the built-in cases, or TARGET: your own Case or Network.

    TARGET is file.py:object or package.module:object.  The object may also be a list of cases, or a
    function without arguments that returns any of these.

    Each case is checked in float64 and in float32.  Without TARGET, --case and --dtype, all
    cases but the digits take turns where an adapter compiles each of them: half are checked in
    either.
    """
    from ..comparisons.cases.suite import in_turn
    from ..comparisons.check.check import DTYPES
    from ..comparisons.check.check import check as run_check
    from ..comparisons.report.as_text import renderable
    from ..comparisons.running.implementations import compiles

    refuse_unwritable(json_path, report_path)
    if target is not None and patterns:
        raise click.UsageError(f"--case chooses among the built-in cases; omit it with {target}")
    with options.usage_errors():
        cases, about = load(target) if target is not None else builtin(patterns)
        turns = target is None and not patterns and not dtypes and compiles(adapters)
        asked = in_turn(case.name for case in cases) if turns else dtypes or DTYPES
        with progress_bar() as say:
            report = run_check(
                cases, *adapters, dtypes=asked, device=device, progress=say,
                about=about, allow=allow, strict=strict,
            )  # fmt: skip
    write(json_path, report.to_json)
    write(report_path, lambda: report.to_html(title=target or "the built-in cases"))
    if "-" not in (str(json_path), str(report_path)):
        if turns:
            click.echo(f"{IN_TURN}\n")
        show(renderable(report, detail))
    sys.exit(report.exit_code)
