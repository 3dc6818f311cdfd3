"""Count right ports accused, and places and causes found, in pairs with planted faults.

python -m benchmarks.pairs first                # pairs that the comparison was tuned on
python -m benchmarks.pairs second               # pairs that it was tuned on after their first run
python -m benchmarks.pairs third                # pairs that it was tuned on after their first run
python -m benchmarks.pairs fourth               # pairs that it was tuned on after their first run
python -m benchmarks.pairs fifth                # pairs that it was tuned on after their first run
python -m benchmarks.pairs sixth                # pairs that it was tuned on after their first run
python -m benchmarks.pairs seventh              # pairs that it was tuned on after their first run
python -m benchmarks.pairs second --only gpt    # one of them
"""

from __future__ import annotations

import argparse
import importlib
import os


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pairs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sets = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
    parser.add_argument("which", nargs="?", default="second", choices=sets)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this pair")
    parser.add_argument("--notes", action="store_true", help="print what each wrong answer says")
    given = parser.parse_args(arguments)
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(pool, "1")
    # Imported here: the pools are capped before NumPy, PyTorch and JAX make them.
    count = importlib.import_module("benchmarks.pairs.count")
    pairs = importlib.import_module(f"benchmarks.pairs.{given.which}").PAIRS
    unknown = [name for name in given.only or () if name not in pairs]
    if unknown:
        parser.error(f"unknown pair {unknown[0]!r}. Valid names: {', '.join(pairs)}")
    count.run({name: pairs[name] for name in given.only or pairs}, notes=given.notes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
