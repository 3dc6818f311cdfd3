"""Record a training step of real models: `python -m benchmarks.zoo --help`."""

from __future__ import annotations

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[pool] = "1"  # before NumPy and PyTorch make their pools
    sys.exit(import_module("benchmarks.zoo.command").main())
