"""Record a training step of real models, and print what was judged. Run it in the root of a clone.

python -m benchmarks.zoo torch                                  # all of the first list, both dtypes
python -m benchmarks.zoo torch --only resnet18 GPT2 --dtype float64
python -m benchmarks.zoo torch --held-out --json held_out.json  # models that no rule was tuned on

Everything runs on one thread. Each model has a process of its own, and its recorded step is timed
between two plain ones.
"""

from __future__ import annotations

import os

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import argparse
import json
import logging
import statistics
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from .models import Zoo
from .run import Result, measured_apart

#: Seconds that one model may take.
LIMIT = 600.0


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


def summary(results: Sequence[Result]) -> str:
    """The figures over all models of one dtype."""
    ran = [r for r in results if not r.failed]
    whole = [r for r in ran if not r.unjudged]
    lacking: Counter[str] = Counter()
    models: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for r in ran:
        known.update(r.known)
        lacking.update(r.unjudged)
        models.update(list(r.unjudged))
    lines = [
        f"{len(ran)} models ran, {len(results) - len(ran)} failed",
        f"every node judged: {len(whole)} of {len(ran)} ({len(whole) / max(len(ran), 1):.1%})",
        f"nodes: {sum(r.nodes for r in ran)}, not judged: {sum(lacking.values())}",
        f"results judged: {sum(r.results for r in ran)}, outside their bound: "
        f"{sum(len(r.alarms) for r in ran) + known.total()} in "
        f"{sum(bool(r.alarms or r.known) for r in ran)} models, "
        f"undecided: {sum(len(r.unknown) for r in ran)}",
        f"of these a known discrepancy of PyTorch: {dict(known)}",
        f"gradients bitwise those of the plain step: {sum(r.same for r in ran)} of {len(ran)}",
    ]
    if ran:
        middle = statistics.median
        memories = [r.memory for r in ran if r.memory]
        lines.append(
            f"recorded to plain step: median {middle(r.ratio for r in ran):.1f}, largest "
            f"{max(r.ratio for r in ran):.1f}; peak memory: median "
            f"{middle(memories or [0.0]):.1f}, largest {max(memories, default=0.0):.1f}"
        )
        lines.append(f"largest share of a bound: {max(r.share for r in ran):.2f}")
    lines += [f"no formula: {why}: {n} in {models[why]} models" for why, n in lacking.most_common()]
    lines += [f"failed: {r.name}: {r.failed}" for r in results if r.failed]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zoo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("framework", choices=("torch",))
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="parts of names")
    parser.add_argument("--dtype", nargs="+", default=["float64", "float32"], metavar="DTYPE")
    parser.add_argument("--held-out", action="store_true", help="the models that were kept apart")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    listed = import_module(f".{'held_out' if given.held_out else 'torch_models'}", __package__)
    zoo = chosen(listed.groups(), given.only)
    if not zoo:
        print(f"no model has one of these words in its name: {' '.join(given.only)}")
        return 2
    results: list[Result] = []
    for name, build in zoo.items():
        for dtype in given.dtype:
            results.append(measured_apart(name, dtype, build, LIMIT))
            print(results[-1], flush=True)
            if given.json:
                given.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    for dtype in given.dtype:
        print(f"\n{dtype}\n{summary([r for r in results if r.dtype == dtype])}", flush=True)
    return 1 if any(r.alarms or r.failed or not r.same for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
