"""The file of a test report: its schema, and writing it whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["SCHEMA", "write_whole"]

#: Schema of the JSON document; see docs/reference/json.md.
SCHEMA = "gradparity/pytest/1"


def write_whole(path: Path, text: str) -> None:
    """Write a text file; a file of that name is replaced only when the text is complete.

    Raises
    ------
    OSError, UnicodeError : the text cannot be written; the file is as it was.
    """
    if path.exists() and not path.is_file():  # a device or a pipe is written to, not replaced
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()  # a link stays one
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # mkstemp makes it for its owner alone
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
