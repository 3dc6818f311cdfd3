"""Record one training step of a model, beside the plain step, in a process of its own."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

import gradparity as gp

from .discrepancies import discrepancy_of
from .models import Build

__all__ = ["Result", "loss_of", "measure", "measured_apart"]

#: Seeds of the weights and of what is random in a step.
WEIGHTS, STEP = 0, 1


@dataclass
class Result:
    """What recording one step of a model in one dtype showed.

    Attributes
    ----------
    nodes, results : how many ops ran, and how many results of theirs were judged.
    unjudged : the ops without a formula, with the reason, by count.
    alarms : the results that are not at parity, but for those of `known`.
    known : how many results show a known discrepancy of PyTorch, by op.
    unknown : the results that could not be decided.
    same : whether the parameter gradients are bitwise those of the plain step.
    share : the largest error inside its bound, as a share of it; `sharpest` is its finding.
    seconds, ratio : of the plain step, and of the recorded and judged one to that.
    memory : peak RSS above that before the step, recorded to plain; 0 if it cannot be told.
    failed : the exception, where the model did not run.
    """

    name: str
    dtype: str
    nodes: int = 0
    results: int = 0
    unjudged: dict[str, int] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    same: bool = True
    share: float = 0.0
    sharpest: str = ""
    seconds: float = 0.0
    ratio: float = 0.0
    memory: float = 0.0
    failed: str = ""

    @property
    def coverage(self) -> float:
        """The share of the nodes that were judged."""
        return 1.0 - sum(self.unjudged.values()) / self.nodes if self.nodes else 0.0

    def __str__(self) -> str:
        head = f"{self.name} {self.dtype}:"
        if self.failed:
            return f"{head} FAILED {self.failed}"
        memory = f"{self.memory:.1f}" if self.memory else "-"
        said = (
            f"{head} {self.nodes} nodes, {self.results} results, {self.coverage:.1%} judged, "
            f"{len(self.alarms)} alarms, {len(self.unknown)} unknown, "
            f"share {self.share:.2f}, {self.seconds:.3f} s, ratio {self.ratio:.1f}, "
            f"memory {memory}"
        )
        said += "" if self.same else ", GRADIENTS DIFFER FROM THE PLAIN STEP"
        for why, count in self.unjudged.items():
            said += f"\n    not judged: {why} ({count})"
        for function, count in self.known.items():
            said += f"\n    discrepancy of PyTorch: {function} ({count})"
        for alarm in self.alarms[:6]:
            said += f"\n    ALARM {alarm}"
        for unknown in self.unknown[:3]:
            said += f"\n    unknown {unknown}"
        return said


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
    known = [discrepancy_of(recording.places[f.node].function, dtype, f.note)
             if f.node in recording.places else None for f in wrong]  # fmt: skip
    nearest = max((f for f in found if f.bound and f.parity is True),
                  key=lambda f: f.error / f.bound, default=None)  # fmt: skip
    return Result(
        name,
        dtype,
        nodes=len(recording.places),
        results=sum(1 for f in found if f.elements),
        unjudged=dict(Counter(_why(u) for u in recording.unjudged)),
        alarms=[_in_a_line(f) for f, k in zip(wrong, known, strict=True) if k is None],
        known=dict(Counter(k.function for k in known if k)),
        unknown=[_in_a_line(f) for f in found if f.verdict == "inconclusive" and f.elements],
        same=same,
        share=nearest.error / nearest.bound if nearest else 0.0,
        sharpest=f"{nearest.op}: {_in_a_line(nearest)}" if nearest else "",
        seconds=plain,
        ratio=wall / plain,
        memory=memory / plain_memory if plain_memory > 1 << 20 else 0.0,
    )


def _fill_zeros(model: torch.nn.Module) -> None:
    """Draw weights that begin at zero: behind them every gradient is zero, which shows nothing."""
    for p in model.parameters():
        if p.ndim > 1 and not p.any():
            torch.nn.init.normal_(p, std=0.05)


def _in_a_line(finding: Any) -> str:
    return " ".join(str(finding).split())[:700]


def _why(unjudged: Any) -> str:
    function = unjudged.place.function
    return unjudged.why if function in unjudged.why else f"{function}: {unjudged.why}"


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


def _child(pipe: Connection, name: str, dtype: str, build: Build) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    try:
        result = measure(name, dtype, build)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:300]
        failed = f"{type(error).__name__}: {said} ({Path(place.filename).name}:{place.lineno})"
        result = Result(name, dtype, failed=failed)
    pipe.send(asdict(result))


def measured_apart(name: str, dtype: str, build: Build, limit: float) -> Result:
    """Measure in a forked process, so that memory is freed and a crash is one model's alone."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, name, dtype, build))
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            return Result(name, dtype, failed=f"took longer than {limit:.0f} s")
        return Result(**ours.recv())
    except EOFError:
        process.join()
        return Result(name, dtype, failed=f"its process ended with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
