"""The tool that runs the files of a page in the environment of the zoo."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.zoo.page import main

PAGE = """\
```python
# with_nothing.py
import sys
print("a", 1 + 1.5)
print("error", file=sys.stderr)
```

```console
$ python with_nothing.py
{shown}
```

```console
$ python -m benchmarks.zoo.page this.md
```
"""


def of(folder: Path, shown: str) -> Path:
    page = folder / "page.md"
    page.write_text(PAGE.format(shown=shown), encoding="utf-8")
    return page


@pytest.mark.parametrize(("shown", "code"), [("a 2.5", 0), ("a 7", 0), ("b 2.5", 1)])
def test_another_output_is_told(shown: str, code: int, tmp_path: Path) -> None:
    assert main([str(of(tmp_path, shown))]) == code


def test_the_output_is_written(tmp_path: Path) -> None:
    page = of(tmp_path, "nothing")
    assert main([str(page), "--write"]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.format(shown="a 2.5")


def test_a_file_without_a_command_is_an_error(tmp_path: Path) -> None:
    page = of(tmp_path, "a 2.5")
    text = page.read_text(encoding="utf-8").replace("$ python with", "$ python out")
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="with_nothing"):
        main([str(page)])
