"""Pages whose snippets print what the page shows.

``python tests/docs/test_found.py PAGE...`` writes what they print into the pages.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

jax = pytest.importorskip("jax")

DOCS = Path(__file__).parents[2] / "docs"
#: What PyTorch and JAX themselves compute: the numbers are those of their versions.
FOUND = DOCS / "explanation" / "found.md"
#: The versions whose numbers that page shows; later ones may have mended what it describes.
VERSION, OF_JAX = "2.13", "0.10"
SNIPPET = re.compile(
    r"```python\n(?P<code>(?:(?!```).)*)```\n"
    r"(?:\n<!-- (?:found|printed) -->\n```text\n(?P<shown>.*?)```\n)?",
    re.DOTALL,
)
PAGES = [FOUND, *(p for p in sorted(DOCS.rglob("*.md")) if "\n<!-- printed -->\n" in p.read_text())]


def ran(page: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Every snippet of a page, and what it prints; they run in order, with the same names."""
    names: dict[str, Any] = {}
    for snippet in SNIPPET.finditer(page.read_text(encoding="utf-8")):
        if snippet["code"].startswith((">>>", "# ")):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(snippet["code"], f"{page.stem}.py", "exec"), names)
        yield snippet, printed.getvalue()


def masked(text: str) -> str:
    """Without digits and versions, and wrapped alike: they differ on another machine."""
    text = re.sub(r"^gradparity .*?\n\n", "", text, flags=re.DOTALL)
    text = re.sub(r"\b(exact|rounding)\b", "right", text)
    return " ".join(re.sub(r"[-+]?\d[\d.e+-]*", "0", text).split())


@pytest.fixture(autouse=True)
def _jax_left_as_it_was() -> Iterator[None]:
    """A page that asks for float64 gives it to no other test of this process."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_snippet_prints_what_the_page_shows(page: Path) -> None:
    shown = 0
    for snippet, printed in ran(page):
        shown += bool(snippet["shown"])
        if page != FOUND:
            assert masked(printed) == masked(snippet["shown"] or "")
        elif (f"{torch.__version__}.".startswith(f"{VERSION}.")
              and f"{jax.__version__}.".startswith(f"{OF_JAX}.")):  # fmt: skip
            assert printed == (snippet["shown"] or "")
    text = page.read_text(encoding="utf-8")
    assert shown == len(re.findall("<!-- (?:found|printed) -->", text)) > 0


def test_the_version_is_the_one_shown() -> None:
    assert f"torch {VERSION}.0\njax {OF_JAX}\n" in FOUND.read_text(encoding="utf-8")


def written(page: Path) -> str:
    """The page with what its snippets print."""
    text = page.read_text(encoding="utf-8")
    for snippet, printed in reversed(list(ran(page))):
        if snippet["shown"] is not None:
            text = text[: snippet.start("shown")] + printed + text[snippet.end("shown") :]
    return text


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(written(path), encoding="utf-8")
