"""`gradparity finds`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from . import options
from .output import refuse_unwritable, show, write
from .probe import stored_atlas
from .progress import progress_bar


@click.command("finds")
@options.adapters
@options.output_file("json", "the finds as JSON")
@click.option("--function", "names", multiple=True,
              help="Only functions whose spelling contains this (repeatable).")  # fmt: skip
@click.option(
    "--version",
    "versions",
    is_flag=True,
    expose_value=False,
    help="The finds of the installed versions, measured now: what is printed anyway.",
)
@click.option("--atlas", "atlas_paths", multiple=True,
              type=click.Path(path_type=Path, dir_okay=False),
              help="Look where this file of `gradparity probe --json` says, instead of measuring "
              "all functions first (repeatable).")  # fmt: skip
def command(
    adapters: tuple[str, ...],
    json_path: Path | None,
    names: tuple[str, ...],
    atlas_paths: tuple[Path, ...],
) -> None:
    """Print what the installed frameworks' functions get wrong, each with a line that shows it.

    Every line is run, and compared with a truth of many digits.  Without --atlas, all functions
    are measured first, which takes ten minutes.

    Exit codes: 0 success; 2 a usage error.
    """
    from ..comparisons.atlas.chosen import refuse_unknown
    from ..comparisons.catalogue.as_text import parts
    from ..comparisons.catalogue.catalogue import catalogue
    from ..core.arithmetic.received import printable

    refuse_unwritable(json_path)
    atlases: list[Any] = [stored_atlas(path) for path in atlas_paths]
    with options.usage_errors(), progress_bar() as say:
        if names:
            refuse_unknown(names, known_functions(adapters, atlases))
        found = catalogue(*adapters, names=names, atlases=atlases, progress=say)
    write(json_path, found.to_json)
    if str(json_path) != "-":
        for part in parts(found):
            if isinstance(part, str):
                click.secho(printable(part), dim=True)
            else:
                show(part)


def known_functions(adapters: Sequence[str], atlases: Sequence[Any]) -> list[str]:
    """The functions of atlases, or else those that would be measured, and those of other finds."""
    from ..comparisons.atlas.chosen import chosen_adapters
    from ..comparisons.atlas.compared import names_in
    from ..comparisons.probing.measuring import Measuring

    chosen = [each for each in chosen_adapters(adapters) if hasattr(each, "finds")]
    known = [name for atlas in atlases for name in names_in(atlas)]
    if chosen and not atlases:
        known = [name for names in Measuring(chosen).spellings().values() for name in names]
    for each in chosen:
        native = each.finds()
        known += [one.spelling for one in (*native.structured.values(), *native.told)]
    return known
