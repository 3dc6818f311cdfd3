"""What the examples share: writing what they print into a page, between two markers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def write_between_markers(path: Path, text: str, name: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` in a file."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = path.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{path} has no lines {start} and {end} to write between")
    path.write_text(f"{before}{start}\n{text}\n{end}{after}")


def main(about: str, /, **texts: Callable[[], str]) -> None:
    """Print what each says, and write it between the markers of its name if asked to."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FILE", help="write there too")
    given = parser.parse_args()
    for name, text in texts.items():
        said = text()
        print(said)
        if given.write:
            write_between_markers(given.write, said, name)
