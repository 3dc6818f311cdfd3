"""The docstrings of the code as reStructuredText.

They are plain text: formulas with ``*`` and ``|``, code between backticks, and sections of the form
of NumPy's whose items are on one line, ``name : what it is``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["rst"]

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")


def rst(lines: Sequence[str]) -> list[str]:
    """The lines of a docstring, as Sphinx is to read them."""
    return list(_translated(list(lines)))


def _translated(lines: list[str]) -> Iterator[str]:
    inside = example = False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if line in SECTIONS and set(following) == {"-"}:
            inside = True
            yield from (f".. rubric:: {line}", "")
        elif set(line) == {"-"} and inside:
            continue
        elif example:
            yield line
        else:
            inside = inside and bool(line.strip())
            yield from _item(line) if inside and not line.startswith(" ") else [_plain(line)]


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
