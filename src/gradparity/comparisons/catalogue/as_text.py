"""The catalogue as text and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..findings.layout import plain_text
from .find import Catalogue, Find

__all__ = ["page", "parts", "text"]

COLUMNS = (
    "#", "version", "function", "of", "formats", "input", "got", "true", "digits lost", "users",
    "notes",
)  # fmt: skip


def text(catalogue: Catalogue) -> str:
    """Plain text."""
    return "\n".join(
        part if isinstance(part, str) else plain_text(part) for part in parts(catalogue)
    )


def parts(catalogue: Catalogue) -> Iterator[RenderableType | str]:
    """The finds for `rich`, and as text their lines of Python, which are to be printed unbroken."""
    yield Group(Text(f"measured with {_stamp(catalogue)}", style="dim"), Text())
    for find in catalogue.finds:
        head = Text(f"{find.package} {find.version}: {find.spelling}", style="bold")
        head.append(f"  {find.users}, {_lost(find)}")
        yield Group(head, Text(f"  {_said(find)}"), *(Text(f"  {n}") for n in _notes(find)))
        yield find.code
        yield Text()
    for what, names in (
        ("not reproduced", catalogue.unconfirmed),
        ("not run, because the adapter finds no such function", catalogue.refused),
    ):
        if names:
            yield Group(Text(f"{what}: {', '.join(names)}"), Text())
    yield Text(counts(catalogue))


def page(catalogue: Catalogue) -> str:
    """A table in Markdown, sorted as the finds are, and below it the lines of Python."""
    head = [
        _stamp(catalogue) + f" · {catalogue.machine}. {counts(catalogue)}.", "",
        f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|",
    ]  # fmt: skip
    rows = [_row(n, find) for n, find in enumerate(catalogue.finds, 1)]
    lines = [f"# {n}\n{find.code}" for n, find in enumerate(catalogue.finds, 1)]
    return "\n".join([*head, *rows, "", "<!-- reproductions -->", "```text", *lines, "```"])


def counts(catalogue: Catalogue) -> str:
    """How many finds there are, and how many of them are documented choices."""
    chosen = sum(bool(find.documented) for find in catalogue.finds)
    n = len(catalogue.finds)
    return f"{n} find{'s' * (n != 1)}, {chosen} of them documented choices"


def _stamp(catalogue: Catalogue) -> str:
    found = (f"{k} {v}" for each in catalogue.versions.values() for k, v in each.items())
    return " · ".join(dict.fromkeys(found))


def _row(n: int, find: Find) -> str:
    what = " and ".join(find.quantities).replace("derivative", "slope")
    cells = (
        str(n), f"{find.package} {find.version}", f"`{find.spelling}`", what,
        ", ".join(find.dtypes), f"{find.at} ({_asked(find)})", find.got, find.true,
        _digits(find), find.users, "; ".join(_notes(find)),
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _asked(find: Find) -> str:
    return f"{find.quantity.replace('derivative', 'slope')}, {find.dtype}"


def _said(find: Find) -> str:
    return f"{_asked(find)} at {find.at}: {find.got}, true {find.true}"


def _digits(find: Find) -> str:
    return "all" if math.isinf(find.lost) else f"{find.lost:.1f} of {find.digits:.1f}"


def _lost(find: Find) -> str:
    return f"{_digits(find)} digits lost"


def _notes(find: Find) -> Iterator[str]:
    if find.documented:
        yield f"documented: {find.documented}"
    if find.upstream:
        yield find.upstream
    if find.also:
        yield f"also {', '.join(find.also)}"
