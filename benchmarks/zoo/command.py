"""Record a training step of real models, and print what was judged. Run it in the root of a clone.

python -m benchmarks.zoo torch                                  # all of the first list, both dtypes
python -m benchmarks.zoo torch --only resnet18 GPT2 --dtype float64
python -m benchmarks.zoo torch --held-out --json held_out.json  # models that no rule was tuned on
python -m benchmarks.zoo jax                                    # functions of JAX, the same output
python -m benchmarks.zoo torch --load a.json b.json --write docs/explanation/real-models.md

Everything runs on one thread. Each model has a process of its own. The recorded step of PyTorch is
timed between two plain ones; that of JAX, and the plain one, with the time to compile them.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from .run import Result, measured_apart
from .tables import PACKAGES, summary, write_section

__all__ = ["main"]

#: Seconds that one model may take.
LIMIT = 600.0
Zoo = dict[str, Any]
#: The first list of each framework, the one that is kept apart, and how a step is measured.
LISTS = {
    "torch": ("torch_models", "held_out", "torch_step"),
    "jax": ("jax_models", "jax_held_out", "jax_step"),
}


def chosen(groups: Sequence[Callable[[], Zoo]], only: Sequence[str]) -> Zoo:
    """The models whose name contains one of these words; all of them without any."""
    zoo: Zoo = {}
    for group in groups:
        try:
            zoo |= group()
        except ImportError as error:
            print(f"left out, because a library is not installed: {group.__name__}: {error}")
    if not only:
        return zoo
    return {name: build for name, build in zoo.items() if any(word in name for word in only)}


def loaded(file: Path) -> list[Result]:
    """The results that an earlier run wrote."""
    return [Result(**each) for each in json.loads(file.read_text())]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zoo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("framework", choices=tuple(LISTS))
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="parts of names")
    parser.add_argument("--dtype", nargs="+", default=["float64", "float32"], metavar="DTYPE")
    parser.add_argument("--held-out", action="store_true", help="the models that were kept apart")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this file")
    parser.add_argument(
        "--load",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="take the figures from these files of earlier runs, the last of several, and run what "
        "they lack",
    )
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    first, apart, step = LISTS[given.framework]
    listed = import_module(f".{apart if given.held_out else first}", __package__)
    measure = import_module(f".{step}", __package__).measure
    zoo = chosen(listed.groups(), given.only)
    if not zoo:
        print(f"no model has one of these words in its name: {' '.join(given.only)}")
        return 2
    earlier = {(r.name, r.dtype): r for file in given.load for r in loaded(file)}
    results: list[Result] = []
    for name, build in zoo.items():
        for dtype in given.dtype:
            found = earlier.get((name, dtype))
            results.append(found or measured_apart(name, dtype, build, measure, LIMIT))
            print(results[-1], flush=True)
            if given.json:
                given.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    for dtype in given.dtype:
        print(f"\n{dtype}\n{summary([r for r in results if r.dtype == dtype])}", flush=True)
    if given.write:
        own = "" if given.framework == "torch" else f"{given.framework}-"
        what = f"{own}held-out" if given.held_out else given.framework
        write_section(given.write, what, results, PACKAGES[given.framework])
    exact = given.framework == "torch"  # XLA may compile the tapped program to other roundings
    return 1 if any(r.alarms or r.failed or (exact and not r.same) for r in results) else 0
