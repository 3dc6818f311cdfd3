"""Tables in Markdown, their stamp, and their section in a document."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["markdown", "stamp", "version_of", "write"]

PACKAGES = ("gradparity", "numpy", "torch", "jax", "chex")


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table whose first column is text and whose other columns are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def stamp(quick: bool, seeds: str) -> str:
    """Return versions and machine, without a date, so that the same run gives the same text."""
    size = "quick run" if quick else "full run"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = f"Python {platform.python_version()} on {platform.machine()}, {cores} cores"
    return f"{size}; {', '.join(map(version_of, PACKAGES))}; {python}; {seeds}"


def version_of(package: str) -> str:
    """Name an installed package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def write(path: Path, what: str, tables: str) -> None:
    """Replace the text between the markers of a section.

    Raises
    ------
    ValueError : the document has no such markers.
    """
    begin, end = f"<!-- evidence:{what} -->", f"<!-- /evidence:{what} -->"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{path} has no section between {begin} and {end}")
    whole = f"{begin}\n{tables.strip()}\n{end}"
    path.write_text(pattern.sub(lambda _: whole, text), encoding="utf-8")
