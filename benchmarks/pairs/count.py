"""Count what `gp.align` answers for pairs, in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import jax

import gradparity as gp

from .pair import Fault, Pair

__all__ = ["Answer", "answer", "run"]

DIRECTIONS = ("one, other", "other, one")


@dataclass(frozen=True)
class Answer:
    """What one comparison answered.

    Attributes
    ----------
    same : nothing was found.
    place, cause : they match what had to be found; None if nothing had to.
    text : the first finding, or the error.
    """

    same: bool
    place: bool | None
    cause: bool | None
    text: str


def answer(first: Any, second: Any, fault: Fault | None) -> Answer:
    """Compare two recordings, the fault being in either of them."""
    try:
        report = gp.align(first, second)
    except Exception as error:  # an answer too, and a wrong one
        wrong = None if fault is None else False
        return Answer(False, wrong, wrong, f"{type(error).__name__}: {error}")
    found = [f for f in report.runs[0].findings if f.parity is False]
    if not found:
        missed = None if fault is None else False
        return Answer(True, missed, missed, "the same")
    f, about = found[0], report.runs[0].about
    if "the search for the cause failed" in about:
        return Answer(False, *(None if fault is None else False,) * 2, about)
    place = f"{f.node} {f.op} {f.note}"
    return Answer(
        False,
        bool(re.search(fault.place, place)) if fault else None,
        bool(re.search(fault.cause, f.note)) if fault else None,
        f"{f.node} ({f.op}): {f.note}",
    )


def run(pairs: Mapping[str, Callable[[], Pair]], notes: bool = False) -> list[Answer]:
    """Compare each pair, print a line for each port, fault and direction, with its seconds, and
    the totals."""
    ports: list[Answer] = []
    faults: list[Answer] = []
    seconds: list[float] = []
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        for name, make in pairs.items():
            pair = make()
            one = pair.one()
            for fault in ("", *pair.harmless, *pair.faults):
                other, expected = pair.other(fault), pair.faults.get(fault)
                for direction in DIRECTIONS:
                    both = (one, other) if direction == DIRECTIONS[0] else (other, one)
                    start = perf_counter()
                    a = answer(*both, expected)
                    (ports if expected is None else faults).append(a)
                    seconds.append(perf_counter() - start)
                    said = f"{direction}  {line(a)} ({seconds[-1]:.1f} s)"
                    print(f"{name:18} {fault or 'right':18} {said}", flush=True)
                    if notes and not (a.same if expected is None else a.place and a.cause):
                        print(f"    {a.text}", flush=True)
    finally:
        jax.config.update("jax_enable_x64", before)
    print(f"right ports accused: {sum(not a.same for a in ports)} of {len(ports)}")
    for what in ("place", "cause"):
        print(f"{what} right: {sum(bool(getattr(a, what)) for a in faults)} of {len(faults)}")
    print(f"seconds: {sum(seconds):.0f} in all, {max(seconds):.0f} at most")
    return ports + faults


def line(a: Answer) -> str:
    """The answer in a few words."""
    if a.place is None:
        return "same" if a.same else "ACCUSED"
    if a.same:
        return "MISSED"
    return f"place {'right' if a.place else 'WRONG'}, cause {'right' if a.cause else 'WRONG'}"
