"""Run the files of a page that need the zoo's environment, and compare or write what they print.

    python -m benchmarks.zoo.page docs/how-to/jax-libraries.md [--write]

Digits may differ from one machine to the next, and are not compared.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["main"]

FILE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def printed(folder: Path, name: str) -> str:
    """What a file prints."""
    run = subprocess.run(
        [sys.executable, name], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo.page", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="put the output into the page")
    given = parser.parse_args(arguments)
    text = given.page.read_text(encoding="utf-8")
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, source in FILE.findall(text):
            (Path(folder) / name).write_text(source, encoding="utf-8")
            command = f"```console\n$ python {name}\n"
            before, found, after = text.partition(command)
            if not found:
                raise ValueError(f"{given.page} shows no output of {name}")
            shown, _, rest = after.partition("```")
            out = printed(Path(folder), name)
            same = re.sub(r"\d+", "#", out) == re.sub(r"\d+", "#", shown.strip("\n"))
            print(f"{name}: {'the same' if same else 'another output'}", flush=True)
            different += not same
            text = f"{before}{command}{out}\n```{rest}"
    if given.write:
        given.page.write_text(text, encoding="utf-8")
        return 0
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
