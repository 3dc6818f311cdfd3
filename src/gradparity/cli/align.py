"""`gradparity align`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .output import refuse_unwritable, show, write
from .progress import progress_bar

if TYPE_CHECKING:
    from ..comparisons.recording.recording import Recording


@click.command("align")
@click.argument("one", metavar="ORIGINAL")
@click.argument("other", metavar="PORT")
@options.output_file("report", "the report as an HTML page")
@options.output_file("json", "the report as JSON")
@click.option("--allow", "allow", multiple=True,
              help="Accept this convention, such as sum (repeatable).")  # fmt: skip
@click.option("--strict", is_flag=True,
              help="Do not accept lossy results or any op that was not judged.")  # fmt: skip
@click.option("--has-aux", "has_aux", is_flag=True,
              help="JAX functions return a pair: the loss, and more, such as states.")  # fmt: skip
def command(
    one: str,
    other: str,
    report_path: Path | None,
    json_path: Path | None,
    allow: tuple[str, ...],
    strict: bool,
    has_aux: bool,
) -> None:
    """Compare two programs: are they the same, and if not, where do they first part and why?

    ORIGINAL and PORT are file.py:make or package.module:make.  Each make() takes no arguments and
    returns a function and its arguments, as gradparity.record takes them; the result of the
    function is the loss, of PyTorch or JAX.  Both have to use the same numbers, in float64 for the
    sharpest answer.  A file may import modules that lie next to it.

    Exit codes: 0 the same, and each is right by itself; 1 a difference, or one of them is wrong;
    2 unknown, or a usage error.

    Example: gradparity align original.py:make port.py:make
    """
    from ..comparisons.explain.allowed import parse_allowed
    from ..comparisons.report.as_text import renderable

    refuse_unwritable(report_path, json_path)
    with options.usage_errors():
        parse_allowed(allow)
    settings: dict[str, Any] = {"allow": allow, "strict": strict, "has_aux": has_aux}
    with progress_bar() as say, options.usage_errors():
        from ..comparisons.aligning.align import align

        report = align(*(_recorded(target, progress=say, **settings) for target in (one, other)))
    write(report_path, lambda: report.to_html(title=f"{one} and {other}"))
    write(json_path, report.to_json)
    if "-" not in (str(report_path), str(json_path)):
        show(renderable(report))
    sys.exit(report.exit_code)


def _recorded(target: str, *, has_aux: bool, **settings: Any) -> Recording:
    """The recording of the program that a target makes."""
    from ..comparisons.recording.record import framework_of, record
    from ..comparisons.running.raised import raised
    from . import targets

    with targets.apart(target):
        f, args = targets.program(target)
        settings["has_aux"] = has_aux and framework_of(args, for_jax=has_aux) == "jax"
        try:
            return record(f, *args, name=target, keep=True, **settings)
        except (Exception, SystemExit) as error:  # f's own code may do anything
            raise ValueError(f"cannot record {target!r}: {raised(error)}") from error
