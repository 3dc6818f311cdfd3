"""The table of docs/explanation/field-cases.md: problems that people reported, and the answers.

python examples/field_cases.py --write docs/explanation/field-cases.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import field_functions
import field_ports
import jax
from field_case import CASES, Answers

import gradparity as gp

from pages import main

#: The modules whose cases these are.
MODULES = field_ports, field_functions


@contextmanager
def in_float64() -> Iterator[None]:
    """JAX as it computes in float64."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def run(name: str) -> Answers:
    """What the product says on one case."""
    with in_float64():
        return CASES[name].answers()


def said(report: gp.Report | None) -> str:
    """The verdict, the place and the reason of the first result that is not right."""
    if report is None:
        return "-"
    found = next((f for _, f in report.findings() if f.parity is False and not f.follows), None)
    found = found or next(f for _, f in report.findings() if f.parity is None and not f.follows)
    reason = re.sub(r" \(field_\w+\.py:\d+\)", "", found.note).replace("|", "\\|")
    return f"{found.verdict} in {found.quantity} at '{found.node}': {reason}"


def verdict(reports: tuple[gp.Report, ...]) -> str:
    """What is said on correct code."""
    return ", ".join(sorted({str(gp.Verdict.MISMATCH) if not r else "parity" for r in reports}))


def field() -> str:
    """The table."""
    lines = ["| | what was seen | asked with | the fault | correct code |", "|---|---|---|---|---|"]
    for name, c in sorted(CASES.items()):
        answers = run(name)
        call = ", ".join(f"`{f}`" for f in c.call.split(", "))
        row = name, c.symptom, call, said(answers.wrong), verdict(answers.right)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__ or "", field=field)
