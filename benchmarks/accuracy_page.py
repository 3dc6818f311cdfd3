"""Write the measured table into docs/reference/accuracy.md; ten minutes without a stored atlas.

python -m benchmarks.accuracy_page [ATLAS.json]
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradparity.comparisons.atlas.as_text import text
from gradparity.comparisons.atlas.smooth_probe import probe_smooth
from gradparity.comparisons.atlas.stored import Atlas

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "accuracy.md"
BEGIN, END = "<!-- accuracy -->\n```text\n", "\n```\n<!-- end of accuracy -->"


def pasted(page: str, table: str) -> str:
    """The page with another table."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table + END + rest.partition(END)[2]


if __name__ == "__main__":
    stored = [Atlas.from_json(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    table = text(*stored or [probe_smooth("jax", "torch")])
    PAGE.write_text(pasted(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
