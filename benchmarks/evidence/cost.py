"""The cost of every checker in plain forward-backward passes of PyTorch, side by side."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import gradparity as gp
from gradparity.core import Affine, Case, CrossEntropy, ReLU

from .checkers import AGAINST, FUNCTIONS, end_to_end, final, node_by_node, reference
from .tables import markdown, stamp

__all__ = ["contestants", "measure", "tables"]

UNIT = "one pass of PyTorch"
#: (widths, batch): finite differences are not affordable in the last.
SIZES = (((8, 8, 4), 8), ((64, 32, 10), 32), ((784, 256, 128, 10), 32))


def _case(widths: tuple[int, ...], batch: int, dtype: str) -> Case:
    ops: list[Any] = []
    for n_in, n_out in itertools.pairwise(widths):
        ops += [Affine(n_in, n_out), ReLU(subgradient="left")]
    return Case.random(gp.layered(ops[:-1], CrossEntropy()), batch=batch, dtype=dtype)


def contestants(case: Case, differences: bool) -> dict[str, Callable[[], object]]:
    """Return every checker as a function, from the implementation's run to the answer."""
    adapter = gp.get_adapter("torch")
    module = adapter.build(case.network, case.params)
    x, d = torch.tensor(case.x), torch.tensor(case.d)

    def one_pass() -> None:
        loss = torch.nn.functional.cross_entropy(module(x), d)
        torch.autograd.grad(loss, list(module.parameters()))

    trace = adapter.run(case)
    got, want = final(case, trace), reference(case)
    calls: dict[str, Callable[[], object]] = {
        UNIT: one_pass,
        "node by node": lambda: node_by_node(case, adapter.run(case)),
        "end to end": lambda: end_to_end(case, trace),
    }
    calls |= {name: partial(check, got, want) for name, check in AGAINST.items() if check}
    for name, (check, dtypes) in FUNCTIONS.items():
        if differences and case.dtype.name in dtypes:
            calls[name] = partial(check, case, got)
    return calls


def measure(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Measure each as a multiple of the first: the median over runs taken in rotation."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            times = 20 if name == UNIT else 1
            start = time.perf_counter()
            for _ in range(times):
                call()
            if turn:  # the first warms caches and compiles
                seconds[name].append((time.perf_counter() - start) / times)
    unit = statistics.median(seconds[UNIT])
    return {name: statistics.median(s) / unit for name, s in seconds.items()}


def tables(quick: bool) -> str:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        columns = {
            f"{'-'.join(map(str, widths))}, batch {batch}, {dtype}": measure(
                contestants(_case(widths, batch, dtype), differences=(widths, batch) != SIZES[-1]),
                turns=3 if quick else 9,
            )
            for widths, batch in (SIZES[:2] if quick else SIZES)
            for dtype in ("float32", "float64")
        }
    finally:
        torch.set_num_threads(before)
    names = [UNIT, "node by node", "end to end", *AGAINST, *FUNCTIONS]
    rows = [[name, *(_cell(name, column) for column in columns.values())] for name in names]
    head = f"Cost in plain forward-backward passes ({stamp(quick, 'seed 0')})."
    return f"{head}\n\n{markdown(['checker', *columns], rows)}"


def _cell(name: str, column: dict[str, float]) -> str:
    if name in column:
        return f"{column[name]:.3g}"
    return "not installed" if AGAINST.get(name, True) is None else "-"
