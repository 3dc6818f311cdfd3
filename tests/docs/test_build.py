"""The build of the reference: what is public and has no docstring or no place in it is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("sphinx")

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from docstrings import rst
from public import homes, undocumented

DOCS = Path(__file__).parents[2] / "docs"

PLANTED = '''
"""A module."""
from dataclasses import dataclass
from enum import Enum

__all__ = ["CONSTANT", "Colour", "Known", "Row", "known"]

#: A constant.
CONSTANT = 1

class Known:
    """A class."""
    def method(self):
        """A method."""

class Colour(Enum):
    """An enumeration."""
    #: As blood.
    RED = 1

@dataclass
class Row:
    """A row with a width."""
    width: int

def known(x):
    """A function."""
'''
#: What is taken out of it -> the name that is then undocumented.
FORGOTTEN = {
    "#: A constant.": "CONSTANT",
    '"""A class."""': "Known",
    '"""A method."""': "Known.method",
    '"""An enumeration."""': "Colour",
    "#: As blood.": "Colour.RED",
    '"""A row with a width."""': "Row",
    " with a width": "Row.width",
    '"""A function."""': "known",
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module with a name of its own, and gives the name."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(source: str) -> str:
        name = f"planted{len(list(tmp_path.glob('planted*.py')))}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("planted"):
            del sys.modules[name]


class TestUndocumented:
    def test_nothing_where_all_is_said(self, planted: Callable[[str], str]) -> None:
        assert undocumented({planted(PLANTED): ()}) == []

    @pytest.mark.parametrize("docstring", FORGOTTEN)
    def test_what_is_forgotten_is_named(
        self, docstring: str, planted: Callable[[str], str]
    ) -> None:
        instead = "pass" if docstring.startswith('"""') and "def" not in docstring else ""
        module = planted(PLANTED.replace(docstring, instead))
        missing = undocumented({module: ()})
        # What has no docstring of its own says nothing of its fields either.
        assert f"{module}.{FORGOTTEN[docstring]}" in missing
        assert all(name.startswith(f"{module}.{FORGOTTEN[docstring]}") for name in missing)

    def test_only_of_the_names_given(self, planted: Callable[[str], str]) -> None:
        module = planted(PLANTED.replace('"""A function."""', "pass"))
        assert undocumented({module: ("Row",)}) == []
        assert undocumented({module: ("known",)}) == [f"{module}.known"]


def test_a_name_has_its_home_where_it_is_first(planted: Callable[[str], str]) -> None:
    below = planted(PLANTED)
    above = planted(f"from {below} import Row\n__all__ = ['Row']\n")
    found = homes({above: (), below: ()})
    assert found[f"{below}.Row"] == found[f"{above}.Row"] == f"{above}.Row"
    assert found[f"{below}.Known"] == f"{below}.Known"


@pytest.fixture
def built(tmp_path: Path, planted: Callable[[str], str]) -> Callable[[str, str], list[str]]:
    """Builds a page of the reference of a module; gives what was warned of."""

    def build(source: str, names: str) -> list[str]:
        module = planted(source)
        pages = tmp_path / module
        pages.mkdir()
        (pages / "index.md").write_text(f"# Page\n\n```{{api}} {module}\n{names}\n```\n")
        (pages / "conf.py").write_text(
            f"extensions = ['myst_parser', 'sphinx.ext.autodoc', 'reference']\n"
            f"public_modules = {{{module!r}: ()}}\ndefault_role = 'py:obj'\n"
        )
        log = pages / "log"
        out = str(pages / "out")
        with log.open("w") as warned, patch_docutils(), docutils_namespace():
            app = Sphinx(str(pages), str(pages), out, out, "dummy", status=None, warning=warned)
            app.build()
        return log.read_text().replace(f"{module}.", "").splitlines()

    return build


@pytest.mark.filterwarnings("ignore")  # those of Sphinx's own dependencies
class TestBuild:
    NAMES = "CONSTANT Known\nColour Row known"

    def test_what_is_said_and_shown_is_clean(self, built: Callable[..., list[str]]) -> None:
        assert built(PLANTED, self.NAMES) == []

    def test_a_name_without_a_docstring(self, built: Callable[..., list[str]]) -> None:
        (said,) = built(PLANTED.replace('"""A function."""', "pass"), self.NAMES)
        assert "known is public and has no docstring" in said

    def test_a_name_that_no_page_shows(self, built: Callable[..., list[str]]) -> None:
        (said,) = built(PLANTED, "CONSTANT Known Colour Row")
        assert "known is public and on no page of the reference" in said

    def test_a_name_that_is_not_public(self, built: Callable[..., list[str]]) -> None:
        (said,) = built(PLANTED, f"{self.NAMES} unheard")
        assert "unheard is not public" in said


class TestDocstrings:
    def test_text_is_no_markup_and_sections_have_items(self) -> None:
        lines = [
            "|z| < 1, `z` * y_",
            "",
            "Parameters",
            "----------",
            "a, b : a * b,",
            "    c.",
        ]
        assert rst(lines) == [
            r"\|z\| < 1, `z` \* y\_", "", ".. rubric:: Parameters", "",
            "``a``, ``b``", r"    a \* b,", "    c.",
        ]  # fmt: skip

    def test_examples_and_bullets_are_left_as_they_are(self) -> None:
        lines = ["* ``x``: |x|", "", ">>> a * b_", "|c|", "", "d : e"]
        assert rst(lines) == [r"* ``x``: \|x\|", "", ">>> a * b_", "|c|", "", "d : e"]
