"""Measure any part of the atlas, in processes that a function cannot stop, and resume."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ...adapters.base import Adapter
from ..atlas.chosen import chosen_adapters
from ..atlas.stored import Atlas
from ..running.progress import Progress, Steps, silent
from ..running.units import Unit
from ..running.workers import NoAnswer, in_workers
from .measuring import PARTS, Measured, Measuring
from .partial import Partial

__all__ = ["LIMIT", "partial_of", "probe_parts"]

#: Seconds that one function may take in one number format.
LIMIT = 60.0


def partial_of(path: Path) -> Path:
    """The file beside that of an atlas that holds the results so far."""
    return path.with_name(path.name + ".partial")


def probe_parts(
    *adapters: str | Adapter,
    parts: Sequence[str] = PARTS,
    compile: bool = False,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    workers: int = 0,
    limit: float = LIMIT,
    partial: Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> Atlas:
    """Measure parts of the atlas; the result does not depend on the number of processes.

    Parameters
    ----------
    *adapters : names, or adapters that can be pickled where there are workers; every installed one
        by default.
    parts : of "kinks", "smooth" and "structures".
    compile, names, dtypes : see `gradparity.comparisons.atlas.probe.probe`; the formats are of
        smooth regions and structures.
    workers : the number of processes; 0 for this one, without a limit.
    limit : seconds that one function may take in one format.
    partial : a file for the results so far, deleted at the end.
    resume : continue from that file.
    progress : called with a description of the current step and the fraction done.

    Raises
    ------
    AdapterError, ImportError : see `gradparity.comparisons.atlas.smooth_probe.probe_smooth`.
    ValueError : a part is unknown, or there is nothing to resume that has these options, or no
        function has a name that was given, or `limit` is not a positive number.
    """
    chosen = chosen_adapters(adapters)
    measuring = Measuring(chosen, tuple(parts), compile, tuple(names), tuple(dtypes))
    if not (isinstance(limit, int | float) and 0 < limit < math.inf):
        raise ValueError(f"limit is {limit!r}; give a number of seconds above 0")
    progress("looking for functions", 0.0)
    measuring.refuse_unknown()
    file = None if partial is None else Partial(partial, measuring, limit)
    if resume and file is None:
        raise ValueError("there is no file to resume from; give one")
    found = file.read() if resume and file is not None else {}
    left, steps = [unit for unit in measuring.units() if unit not in found], Steps(progress)
    for unit in left:
        steps.plan(_kind(unit), unit.functions)
    if left:
        steps.say(str(left[0]))
    with nullcontext() if file is None else file.written(found) as lines:
        for one in _measured(measuring, left, workers, limit):
            found[one.unit] = one
            if lines is not None:
                lines.add(one)
            steps.did(_kind(one.unit), str(one.unit), one.unit.functions)
    steps.end()
    atlas = measuring.atlas(found)
    if file is not None:
        file.remove()
    return atlas


def _measured(
    measuring: Measuring, left: Sequence[Unit], workers: int, limit: float
) -> Iterator[Measured]:
    if not workers:
        yield from map(measuring, left)
        return
    work = [(unit, limit * unit.functions) for unit in left]
    found: Any
    for unit, found in in_workers(measuring, work, min(workers, max(1, len(left)))):
        yield measuring.lost(unit, found.why) if isinstance(found, NoAnswer) else found


def _kind(unit: Unit) -> tuple[str, str, str]:
    return unit.adapter, unit.part, unit.name.partition(" ")[0] * (unit.part == "structures")
