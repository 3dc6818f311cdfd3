"""Run the files of a page that need the zoo's environment, and compare or write what they print.

    python -m benchmarks.zoo.page docs/how-to/jax-libraries.md [--write]

A file is run by the commands of the page that end with its name.  What `gradparity watch` prints is
its report too, which goes to standard error.  Digits may differ from one machine to the next, and
are not compared.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from . import torchvision_ops

__all__ = ["main"]

FILE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?")
#: Run by every Python that a command starts.
START = f"{Path(torchvision_ops.__file__).read_text(encoding='utf-8')}\n\nleave_out()\n"
COMMAND = re.compile(r"```console\n\$ (?P<command>[^\n]*)\n(?P<shown>.*?)```", re.DOTALL)


def printed(folder: Path, command: str) -> str:
    """What a command prints."""
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    search = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
    }
    errors = subprocess.STDOUT if words[0] == "gradparity" else None
    run = subprocess.run(
        words, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=errors,
        text=True,
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo.page", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="put the output into the page")
    given = parser.parse_args(arguments)
    text = given.page.read_text(encoding="utf-8")
    files = dict(FILE.findall(text))
    commands = [m for m in COMMAND.finditer(text) if m["command"].split()[-1] in files]
    for name in files.keys() - {m["command"].split()[-1] for m in commands}:
        raise ValueError(f"{given.page} shows no output of {name}")
    different = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "sitecustomize.py").write_text(START, encoding="utf-8")
        for name, source in files.items():
            (folder / name).write_text(source, encoding="utf-8")
        for match in reversed(commands):
            out = printed(folder, match["command"])
            same = NUMBER.sub("#", out) == NUMBER.sub("#", match["shown"].strip("\n"))
            print(f"{match['command']}: {'the same' if same else 'another output'}", flush=True)
            different += not same
            text = f"{text[: match.start('shown')]}{out}\n{text[match.end('shown') :]}"
    if given.write:
        given.page.write_text(text, encoding="utf-8")
        return 0
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
