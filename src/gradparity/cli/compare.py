"""`gradparity compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import options
from .output import refuse_unwritable, show, write


@click.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@options.output_file("json", "the changes as JSON")
@options.output_file("report", "AFTER and the changes as an HTML page")
def command(before: Path, after: Path, json_path: Path | None, report_path: Path | None) -> None:
    """Print what changed from the report BEFORE to the report AFTER.

    Both files are from `gradparity check --json FILE`, or both from `pytest
    --gradparity-report=FILE.json`.

    Exit codes: 0 nothing that matters changed; 1 something did; 2 the reports have nothing in
    common, or a usage error.

    Example: gradparity compare torch-2.12.json torch-2.13.json
    """
    from ..comparisons.report.changes import compare
    from ..comparisons.report.changes_text import renderable, to_json
    from ..comparisons.report.page.html import html

    refuse_unwritable(json_path, report_path)
    (schema, old), (other, new) = _stored(before), _stored(after)
    if schema != other:
        raise click.UsageError(
            f"{before} has the schema {schema} and {after} has {other}; compare two of one kind"
        )
    changes = compare(old, new)
    write(report_path, lambda: html(new, title=f"{before} -> {after}", changes=changes))
    write(json_path, lambda: to_json(changes))
    if "-" not in (str(json_path), str(report_path)):
        show(renderable(changes))
    sys.exit(changes.exit_code)


#: Schemas of other files that gradparity writes, and what to do instead of comparing them here.
OTHERS = {
    "gradparity/atlas/2": "`gradparity probe --diff FILE` compares atlases",
    "gradparity/selftest/1": "self-tests are not compared; give two reports of `gradparity check`",
    "gradparity/changes/1": "a comparison is not compared; give two reports of `gradparity check`",
}


def _stored(path: Path) -> tuple[str, Any]:
    """Read the schema of a file and its report."""
    from ..comparisons.findings.stored import parsed
    from ..comparisons.report.as_json import from_document
    from ..testing.files import SCHEMA
    from ..testing.merged import merged

    try:
        document = parsed(path.read_text(encoding="utf-8"))
        schema = document.get("schema", "") if isinstance(document, dict) else ""
        if isinstance(schema, str) and schema in OTHERS:
            raise ValueError(OTHERS[schema])
        return schema, (merged if schema == SCHEMA else from_document)(document)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot compare {path}: {error}") from error
