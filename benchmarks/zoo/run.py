"""What recording one training step of a model showed, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["Measure", "Result", "in_a_line", "measured_apart", "why"]


@dataclass
class Result:
    """What recording one step of a model in one dtype showed.

    Attributes
    ----------
    nodes, results : how many ops ran, and how many results of theirs were judged.
    unjudged : the ops without a formula, with the reason, by count.
    alarms : the results that are not at parity, but for those of `known`.
    known : how many results show a known discrepancy of the framework, by op.
    unknown : the results that could not be decided.
    same : whether the parameter gradients are bitwise those of the plain step.
    share : the largest error inside its bound, as a share of it; `sharpest` is its finding.
    seconds, ratio : of the plain step, and of the recorded and judged one to that; in JAX both with
        the time to compile them.
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
            said += f"\n    known discrepancy: {function} ({count})"
        for alarm in self.alarms[:6]:
            said += f"\n    ALARM {alarm}"
        for unknown in self.unknown[:3]:
            said += f"\n    unknown {unknown}"
        return said


#: Measures one step: name, dtype, how to build the model.
Measure = Callable[[str, str, Any], Result]


def in_a_line(finding: Any) -> str:
    """A finding without line breaks."""
    return " ".join(str(finding).split())[:700]


def why(unjudged: Any) -> str:
    """The op that was not judged, and the reason."""
    function = unjudged.place.function
    return unjudged.why if function in unjudged.why else f"{function}: {unjudged.why}"


def _child(pipe: Connection, name: str, dtype: str, build: Any, measure: Measure) -> None:
    warnings.filterwarnings("ignore")
    try:
        result = measure(name, dtype, build)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:300]
        failed = f"{type(error).__name__}: {said} ({Path(place.filename).name}:{place.lineno})"
        result = Result(name, dtype, failed=failed)
    pipe.send(asdict(result))


def measured_apart(name: str, dtype: str, build: Any, measure: Measure, limit: float) -> Result:
    """Measure in a forked process, so that memory is freed and a crash is one model's alone."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, name, dtype, build, measure))
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
