"""`gradparity compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .output import refuse_unwritable, show, write


@click.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the changes as JSON to this file, '-' for standard output.")  # fmt: skip
@click.option("--report", "report_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write AFTER and what changed as a page to this file, or '-'.")  # fmt: skip
def command(before: Path, after: Path, json_path: Path | None, report_path: Path | None) -> None:
    """Tell what changed from the report BEFORE to the report AFTER.

    Both are what `gradparity check --json FILE` wrote, or both what `pytest
    --gradparity-report=FILE.json` wrote.

    Exit codes: 0 nothing that matters changed; 1 something did; 2 the two have nothing in common,
    or a usage error.

    Example: gradparity compare torch-2.12.json torch-2.13.json
    """
    from ..comparisons.report.changes import compare
    from ..comparisons.report.changes_text import renderable, text, to_json
    from ..comparisons.report.page.html import html

    refuse_unwritable(json_path, report_path)
    (schema, old), (other, new) = _stored(before), _stored(after)
    if schema != other:
        raise click.UsageError(
            f"{before} has the schema {schema} and {after} {other}; compare two of one kind"
        )
    changes = compare(old, new)
    if report_path is not None:
        write(report_path, html(new, title=f"{before} -> {after}", changes=changes))
    if json_path is not None:
        write(json_path, to_json(changes))
    if "-" not in (str(json_path), str(report_path)):
        show(changes, renderable, text)
    sys.exit(changes.exit_code)


#: What else this program writes, and the command that compares it.
OTHERS = {
    "gradparity/atlas/1": "`gradparity probe --diff FILE` compares atlases",
    "gradparity/selftest/1": "self-tests are not compared; give two reports of `gradparity check`",
    "gradparity/changes/1": "it is what a comparison wrote; give two reports of `gradparity check`",
}


def _stored(path: Path) -> tuple[str, Any]:
    """The schema of a file, and the report in it."""
    from ..comparisons.findings.stored import parsed
    from ..comparisons.report.as_json import from_document
    from ..testing.document import SCHEMA
    from ..testing.merged import merged

    try:
        document = parsed(path.read_text(encoding="utf-8"))
        schema = document.get("schema", "") if isinstance(document, dict) else ""
        if isinstance(schema, str) and schema in OTHERS:
            raise ValueError(OTHERS[schema])
        return schema, (merged if schema == SCHEMA else from_document)(document)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot compare {path}: {error}") from error
