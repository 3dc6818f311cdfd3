"""The page on what the checks found in PyTorch: each snippet prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "found.md"
SNIPPET = re.compile(r"```python\n(.*?)```\n\n<!-- found -->\n```text\n(.*?)```\n", re.DOTALL)
#: The version whose numbers the page shows; a later one may have mended what it describes.
VERSION = "2.13"


def test_every_snippet_prints_what_the_page_shows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    snippets = SNIPPET.findall(text)
    assert len(snippets) == text.count("```python") == text.count("<!-- found -->") > 5
    assert f"torch {VERSION}" in snippets[0][1]
    names: dict[str, Any] = {}
    for code, shown in snippets:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        assert printed.getvalue()
        if torch.__version__.startswith(f"{VERSION}."):
            assert printed.getvalue() == shown
