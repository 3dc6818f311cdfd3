"""The results of a run as text and as a section of a document."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..evidence.tables import markdown, version_of, write
from .run import Result

__all__ = ["PACKAGES", "section", "summary", "write_section"]

PACKAGES = {
    "torch": ("gradparity", "numpy", "torch", "torchvision", "timm", "transformers", "diffusers"),
    "jax": ("gradparity", "numpy", "jax", "flax", "equinox", "dm-haiku", "keras", "optax"),
}
HEAD = ("model", "nodes", "results", "judged", "outside", "undecided", "share", "plain s",
        "time ratio", "memory ratio")  # fmt: skip


def summary(results: Sequence[Result]) -> str:
    """The figures over all models of one dtype, a line each."""
    ran = [r for r in results if not r.failed]
    whole = [r for r in ran if not r.unjudged]
    lacking: Counter[str] = Counter()
    models: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for r in ran:
        known.update(r.known)
        lacking.update(r.unjudged)
        models.update(list(r.unjudged))
    alarms = sum(len(r.alarms) for r in ran)
    lines = [
        f"{len(ran)} models ran, {len(results) - len(ran)} failed",
        f"every node judged: {len(whole)} of {len(ran)} ({len(whole) / max(len(ran), 1):.1%})",
        f"nodes: {sum(r.nodes for r in ran)}, not judged: {lacking.total()}",
        f"results judged: {sum(r.results for r in ran)}, outside their bound: "
        f"{alarms + known.total()} in {sum(bool(r.alarms or r.known) for r in ran)} models, "
        f"undecided: {sum(len(r.unknown) for r in ran)}",
        *(f"a known discrepancy: {function} ({n})" for function, n in known.items()),
        f"outside their bound, and not explained: {alarms}",
        f"gradients bitwise those of the plain step: {sum(r.same for r in ran)} of {len(ran)}",
    ]
    if ran:
        middle = statistics.median
        ratios, memories = [r.ratio for r in ran], [r.memory for r in ran if r.memory] or [0.0]
        lines += [
            f"recorded to plain step: median {middle(ratios):.1f}, largest {max(ratios):.1f}; peak "
            f"memory: median {middle(memories):.1f}, largest {max(memories):.1f}",
            f"largest share of a bound: {max(r.share for r in ran):.2f}",
        ]
    lines += [f"not judged: {why}: {n} in {models[why]} models" for why, n in lacking.most_common()]
    lines += [f"failed: {r.name}: {r.failed}" for r in results if r.failed]
    return "\n".join(lines)


def _row(r: Result) -> tuple[object, ...]:
    if r.failed:
        return (f"{r.name}: {r.failed}", *["-"] * (len(HEAD) - 1))
    outside = str(len(r.alarms) + sum(r.known.values()))
    memory = f"{r.memory:.1f}" if r.memory else "-"
    judged = r.nodes - sum(r.unjudged.values())
    return (r.name, r.nodes, r.results, judged, outside, len(r.unknown), f"{r.share:.2f}",
            f"{r.seconds:.3f}", f"{r.ratio:.0f}", memory)  # fmt: skip


def section(results: Sequence[Result], packages: Sequence[str]) -> str:
    """A summary and a table for each dtype."""
    parts = [f"Versions: {', '.join(map(version_of, packages))}; one thread."]
    for dtype in dict.fromkeys(r.dtype for r in results):
        own = [r for r in results if r.dtype == dtype]
        listed = "\n".join(f"* {line}" for line in summary(own).splitlines())
        parts += [f"**{dtype}**", listed, markdown(HEAD, map(_row, own))]
    return "\n\n".join(parts)


def write_section(
    path: Path, what: str, results: Sequence[Result], packages: Sequence[str]
) -> None:
    """Replace the text between the markers of a section in a document."""
    write(path, what, section(results, packages))
