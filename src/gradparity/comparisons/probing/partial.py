"""The file of a measurement that has not ended: one line of JSON for each unit."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..atlas.chosen import versions_of
from ..findings.stored import parsed, plain, record
from ..running.units import Unit
from .measuring import Measured, Measuring

__all__ = ["SCHEMA", "Partial"]

SCHEMA = "gradparity/atlas-part/1"
HINT = "measure without --resume"


class Partial:
    """The results so far of a measurement, kept in a file; its first line is of the options."""

    def __init__(self, path: Path, measuring: Measuring, limit: float) -> None:
        self.path = path
        self.head = {
            "schema": SCHEMA,
            "versions": versions_of(measuring.adapters),
            "machine": platform.machine(),
            "parts": list(measuring.parts),
            "compile": measuring.compile,
            "names": list(measuring.names),
            "dtypes": list(measuring.dtypes),
            "limit": limit,
        }

    def read(self) -> dict[Unit, Measured]:
        """The results in the file; without its last line where that was not written whole.

        Raises
        ------
        ValueError : it is not such a file, or of other versions or options.
        OSError : it cannot be read.
        """
        if not self.path.exists():
            raise ValueError(f"there is no {self.path} to resume; {HINT}")
        head, *lines = self.path.read_bytes().split(b"\n")
        try:
            self._refuse_others(parsed(head.decode()))
            whole = [record(Measured, parsed(line.decode()), SCHEMA, HINT) for line in lines[:-1]]
        except ValueError as error:
            raise ValueError(f"cannot resume from {self.path}: {error}") from None
        return {one.unit: one for one in whole}

    def _refuse_others(self, head: Any) -> None:
        for name, mine in self.head.items():
            theirs = head.get(name) if isinstance(head, dict) else None
            if theirs != mine:
                raise ValueError(f"it has {name} {theirs!r}, and this run {mine!r}; {HINT}")

    @contextmanager
    def written(self, found: dict[Unit, Measured]) -> Iterator[_Lines]:
        """Write the file anew with these results, to which more are added as they come."""
        with self.path.open("w", encoding="utf-8", newline="\n") as file:
            lines = _Lines(file)
            lines.write(self.head)
            for one in found.values():
                lines.add(one)
            yield lines

    def remove(self) -> None:
        """Delete the file; the measurement has ended."""
        self.path.unlink(missing_ok=True)


class _Lines:
    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def write(self, document: Any) -> None:
        self.file.write(json.dumps(document, allow_nan=False) + "\n")
        self.file.flush()

    def add(self, one: Measured) -> None:
        self.write({"schema": SCHEMA, **plain(one)})
