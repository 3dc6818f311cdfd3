"""Write the measured catalogue into docs/finds.md; ten minutes, or half with stored atlases.

python -m benchmarks.finds_page [ATLAS.json ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.catalogue.as_text import page
from gradparity.comparisons.catalogue.catalogue import catalogue

PAGE = Path(__file__).parents[1] / "docs" / "finds.md"
BEGIN, END = "<!-- finds -->\n", "\n<!-- end of finds -->"


def pasted(page: str, table: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table + END + rest.partition(END)[2]


if __name__ == "__main__":
    atlases = [Atlas.from_json(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    table = page(catalogue("jax", "torch", atlases=atlases))
    PAGE.write_text(pasted(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
