"""The docstrings of the code as reStructuredText.

They are plain text: formulas with ``*`` and ``|``, code between backticks, and sections of the form
of NumPy's whose items are on one line, ``name : what it is``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["rst"]

#: Those made of items, and those of text.
ITEMS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")
SECTIONS = (*ITEMS, "Examples", "Notes")


def rst(lines: Sequence[str]) -> list[str]:
    """The lines of a docstring, as Sphinx is to read them."""
    return list(_translated(list(lines)))


def _translated(lines: list[str]) -> Iterator[str]:
    items = example = False
    for i, line in enumerate(lines):
        ruled = set("".join(lines[i + 1 : i + 2])) == {"-"}
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if line in SECTIONS and ruled:
            items = line in ITEMS
            yield from (f".. rubric:: {line}", "")
        elif set(line) == {"-"}:  # under a heading
            continue
        elif example:
            yield line
        else:
            items = items and bool(line.strip())
            named = items and " : " in line and not line.startswith(" ")
            yield from _item(line) if named else [_plain(line)]


def _item(line: str) -> Iterator[str]:
    name, _, said = line.partition(" : ")
    yield ", ".join(f"``{each}``" for each in name.split(", "))
    yield f"    {_plain(said)}"


def _plain(line: str) -> str:
    """What reStructuredText would take for markup is text, but for backticks and bullets."""
    bullet = re.match(r"\s*\* ", line)
    start = bullet.end() if bullet else 0
    parts = re.split(r"(``.+?``|`[^`]+`)", line[start:])
    parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
    return line[:start] + "".join(parts)
