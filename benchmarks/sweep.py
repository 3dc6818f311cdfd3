"""Count false alarms: judge random networks on values of any shape against a framework.

    python -m benchmarks.sweep torch 0 3000
    python -m benchmarks.sweep jax 0 300 --into jax.jsonl    # continues after an interruption
    python -m benchmarks.sweep torch 0 5000 --over vocabulary

The framework is assumed to be right, so every result without parity needs investigation: the
fault is ours or the framework's.  Run it in the root of a clone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.shaped_cases import shaped_case
from tests.vocabulary_cases import vocabulary_case

import gradparity as gp

#: Random networks by what they are made of.
KINDS = {"shapes": shaped_case, "vocabulary": vocabulary_case}


def judged(framework: str, seed: int, over: str) -> dict[str, Any]:
    """Return the verdicts of one network in float64 and float32, and all without parity."""
    found = list(gp.check(KINDS[over](seed), framework).findings())
    counts = Counter(str(f.verdict) for _, f in found)
    bad = [
        f"{run.dtype}: {f}" for run, f in found if f.parity is not True and f.verdict != "vacuous"
    ]
    return {"framework": framework, "over": over, "seed": seed, "verdicts": counts, "bad": bad}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("framework", help="torch, jax, or another installed adapter")
    parser.add_argument("first", type=int, help="the first seed")
    parser.add_argument("end", type=int, help="the seed after the last")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a line of JSON for each network")
    parser.add_argument("--over", choices=KINDS, default="shapes", help="the ops; shapes: the few")
    given = parser.parse_args(arguments)
    lines = given.into.read_text().splitlines() if given.into and given.into.exists() else []
    done = {(r["framework"], r.get("over", "shapes"), r["seed"]): r for r in map(json.loads, lines)}
    total, bad, networks = Counter[str](), 0, 0
    for seed in range(given.first, given.end):
        result = done.get((given.framework, given.over, seed))
        if result is None:
            result = judged(given.framework, seed, given.over)
            if given.into:
                with given.into.open("a") as file:
                    file.write(json.dumps(result) + "\n")
        networks, bad = networks + 1, bad + len(result["bad"])
        total.update(result["verdicts"])
        for line in result["bad"]:
            print(f"seed {seed}, {line}", flush=True)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in total.most_common())
    print(f"{given.framework}: {networks} networks, {total.total()} results, {bad} no parity")
    print(f"  {verdicts}")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
