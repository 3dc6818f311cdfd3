"""The table of docs/reference/accuracy.md is what is measured."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from benchmarks.accuracy_page import BEGIN, END, PAGE, pasted

from gradparity.comparisons.atlas.as_text import text
from gradparity.comparisons.atlas.smooth_probe import probe_smooth

BOTH = pytest.mark.skipif(not (find_spec("torch") and find_spec("jax")), reason="needs both")


def documented() -> list[str]:
    page = PAGE.read_text(encoding="utf-8")
    return page.partition(BEGIN)[2].partition(END)[0].splitlines()


def test_has_its_parts() -> None:
    said = "\n".join(documented())
    for part in ("torch, common", "jax, common", "no formula for", "regions, "):
        assert part in said
    assert all(len(line) <= 80 for line in documented())


def test_is_written_between_its_marks() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert pasted(page, "\n".join(documented())) == page
    assert pasted(page, "new").partition(BEGIN)[2].startswith("new" + END)


@BOTH
def test_a_part_is_what_is_measured() -> None:
    # Rows of the worst loss do not depend on the other functions.
    stamp, *_ = text(probe_smooth("jax", "torch", names=["?"])).splitlines()
    if stamp != documented()[0]:
        pytest.skip("other versions than those of the document")
    ours = text(probe_smooth("torch", names=["F.gelu(x)", "F.tanh(x)"])).splitlines()
    found = [line.split() for line in ours if line.startswith(("F.gelu(x)", "F.tanh(x)"))]
    assert found
    assert all(row in [line.split() for line in documented()] for row in found)


@BOTH
@pytest.mark.slow
def test_all_of_it_is_what_is_measured() -> None:
    ours = text(probe_smooth("jax", "torch")).splitlines()
    if ours[0] != documented()[0]:
        pytest.skip("other versions than those of the document")
    assert ours == documented()
