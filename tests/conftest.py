"""Shared set-up: the helpers in tests/ are importable, Hypothesis is reproducible."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings

pytest_plugins = "pytester"

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("command_line", "tests.adapters.frameworks")

# XLA compiles a program once, also for the commands that tests start.  Each worker has a folder
# of its own, because JAX does not write these files in one step.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(
        Path(__file__).parents[1] / ".jax_cache" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    ),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("ci")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked ``sample(n)``, n of its cases run by default; the others are `slow`."""
    cases: dict[tuple[str, int], list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark is not None and item.get_closest_marker("slow") is None:
            cases.setdefault((item.nodeid.split("[")[0], *mark.args), []).append(item)
    for (name, n), each in cases.items():
        for item in Random(name).sample(each, max(0, len(each) - n)):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """No module of tests has set JAX's float64 mode for all others."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.config.jax_enable_x64 and "JAX_ENABLE_X64" not in os.environ:
        raise pytest.UsageError("a module of tests sets jax_enable_x64 where it is imported")


@pytest.fixture(autouse=True, scope="session")
def _one_thread_per_pool() -> None:
    """Three thread pools on two cores only wait for each other; the results do not change."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
