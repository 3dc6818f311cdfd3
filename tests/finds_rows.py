"""The rows of docs/finds.md."""

from __future__ import annotations

import re
from importlib.util import find_spec

from benchmarks.finds_page import BEGIN, END, PAGE

Row = dict[str, str]


def rows() -> list[Row]:
    listed = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    table, _, lines = listed.partition("<!-- reproductions -->\n```text\n")
    head, _, *body = [line for line in table.splitlines() if line.startswith("|")]
    names = [name.strip() for name in head.strip("|").split("|")]
    codes = [line for line in lines.splitlines() if not line.startswith(("#", "```"))]
    cells = [re.split(r"(?<!\\)\|", line.strip("|")) for line in body]
    assert len(cells) == len(codes)
    return [
        {"code": code, **dict(zip(names, map(str.strip, each), strict=True))}
        for each, code in zip(cells, codes, strict=True)
    ]


def other_versions(row: Row) -> bool:
    name, version = row["version"].split()
    return find_spec(name) is None or bool(__import__(name).__version__ != version)
