"""Measure three tables, each side by side in one run. Run it in the root of a clone.

python -m benchmarks.evidence faults    # planted wrong gradients: which checkers detect them
python -m benchmarks.evidence alarms    # right gradients: which checkers reject them
python -m benchmarks.evidence cost      # cost in plain forward-backward passes
python -m benchmarks.evidence all --write docs/explanation/evidence.md
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from .tables import write

WHAT = ("faults", "alarms", "cost")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=(*WHAT, "all"))
    parser.add_argument("--quick", action="store_true", help="fewer networks, under a minute each")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this file")
    given = parser.parse_args(arguments)
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(pool, "1")  # three pools on few cores only wait for each other
    for what in WHAT if given.what == "all" else (given.what,):
        # Imported here: the pools are capped before NumPy, PyTorch and JAX make them.
        tables = importlib.import_module(f"benchmarks.evidence.{what}").tables(quick=given.quick)
        print(tables, flush=True)
        if given.write:
            write(given.write, what, tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
