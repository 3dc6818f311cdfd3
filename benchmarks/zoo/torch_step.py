"""Record one training step of a model of PyTorch, beside the plain step."""

from __future__ import annotations

import copy
import gc
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import gradparity as gp

from .discrepancies import discrepancy_of
from .models import Build
from .run import Result, in_a_line, why

__all__ = ["loss_of", "measure"]

#: Seeds of the weights and of what is random in a step.
WEIGHTS, STEP = 0, 1


def loss_of(out: Any) -> torch.Tensor:
    """The loss of a model, or the sum of the mean squares of what it returned."""
    given = getattr(out, "loss", None)
    if isinstance(given, torch.Tensor):
        return given
    out = out.to_tuple() if hasattr(out, "to_tuple") else out
    leaves = torch.utils._pytree.tree_leaves(out)
    found = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
    total = found[0].pow(2).mean()
    for t in found[1:]:
        total = total + t.pow(2).mean()
    return total


def measure(name: str, dtype: str, build: Build) -> Result:
    """Run the plain step, the recorded one, and the plain one again."""
    kind: torch.dtype = getattr(torch, dtype)
    torch.set_num_threads(1)
    torch.set_default_dtype(kind)
    torch.manual_seed(WEIGHTS)
    model, args, kwargs = build()
    model.to(kind).train()
    _fill_zeros(model)
    state = copy.deepcopy(model.state_dict())  # with its metadata

    def step() -> None:
        loss_of(model(*args, **kwargs)).backward()

    def timed(f: Callable[[], object]) -> tuple[float, int]:
        model.load_state_dict(state)
        model.zero_grad()
        torch.manual_seed(STEP)
        gc.collect()
        before = _reset_peak()
        start = time.perf_counter()
        f()
        return time.perf_counter() - start, _peak() - before

    recordings: list[Any] = []

    def recorded() -> None:
        with gp.record() as recording:
            step()
        recordings.append(recording)

    timed(step)  # allocates what later steps reuse
    first, plain_memory = timed(step)
    want = _gradients(model)
    wall, memory = timed(recorded)
    same = _equal(want, _gradients(model))
    second, _ = timed(step)
    plain = (first + second) / 2
    recording = recordings[0]
    found = gp.check(recording).runs[0].findings
    wrong = [f for f in found if f.parity is False]
    known = [discrepancy_of("torch", recording.places[f.node].function, dtype, f.note)
             if f.node in recording.places else None for f in wrong]  # fmt: skip
    nearest = max((f for f in found if f.bound and f.parity is True),
                  key=lambda f: f.error / f.bound, default=None)  # fmt: skip
    return Result(
        name,
        dtype,
        nodes=len(recording.places),
        results=sum(1 for f in found if f.elements),
        unjudged=dict(Counter(why(u) for u in recording.unjudged)),
        alarms=[in_a_line(f) for f, k in zip(wrong, known, strict=True) if k is None],
        known=dict(Counter(k.function for k in known if k)),
        unknown=[in_a_line(f) for f in found if f.verdict == "inconclusive" and f.elements],
        same=same,
        share=nearest.error / nearest.bound if nearest else 0.0,
        sharpest=f"{nearest.op}: {in_a_line(nearest)}" if nearest else "",
        seconds=plain,
        ratio=wall / plain,
        memory=memory / plain_memory if plain_memory > 1 << 20 else 0.0,
    )


def _fill_zeros(model: torch.nn.Module) -> None:
    """Draw weights that begin at zero: behind them every gradient is zero, which shows nothing."""
    for p in model.parameters():
        if p.ndim > 1 and not p.any():
            torch.nn.init.normal_(p, std=0.05)


def _gradients(model: torch.nn.Module) -> list[torch.Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


def _equal(a: list[torch.Tensor | None], b: list[torch.Tensor | None]) -> bool:
    """Whether gradients are bitwise the same, a NaN as the same NaN."""
    return all(
        x is y or (x is not None and y is not None and torch.equal(x.nan_to_num(), y.nan_to_num()))
        for x, y in zip(a, b, strict=True)
    )


def _reset_peak() -> int:
    """Forget the peak of the RSS, and return the RSS in bytes; 0 where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(key)), 0)
