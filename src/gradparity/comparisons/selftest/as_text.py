"""A self-test as text and as JSON: pure functions of its results."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator

from ..findings.layout import grouped
from ..findings.shown import printer
from .results import Result, SelfTest

__all__ = ["SCHEMA", "text", "to_json"]

SCHEMA = "gradparity/selftest/1"
#: Maximum number of survivors or accusations before the rest is only counted.
LIMIT = 40
PLACES = {
    "value": "values",
    "edge": "gradients through a use",
    "parameter": "gradients of a parameter",
    "sum": "sums over uses",
    "Div": "Div, Err and dErr/dDiv",
}


@printer(SelfTest, "text")
def text(test: SelfTest) -> str:
    """Three tables, 80 columns wide, then a line for each site where faults survived."""
    versions = " · ".join(f"{k} {v}" for k, v in test.environment.items())
    lines = [*textwrap.wrap(versions, 80), ""]
    tables: tuple[tuple[str, Callable[[Result], str]], ...] = (
        ("fault", lambda r: r.fault),
        ("planted in", lambda r: PLACES[r.place]),
        ("implementation", lambda r: r.adapter),
    )
    for title, key in tables:
        lines += [*_table(test, title, key), ""]
    lines += _listed("ACCUSED WITHOUT A FAULT", list(test.alarms))
    lines += _listed("SURVIVED", list(_survivors(test)))
    return "\n".join([*lines, *_conclusion(test)])


def _table(test: SelfTest, title: str, key: Callable[[Result], str]) -> Iterator[str]:
    """Faults caught of those planted; equivalent ones, which nobody could catch, are separate."""
    dtypes = list(dict.fromkeys(r.dtype for r in test.results))
    yield f"{title:<34}" + "".join(f"{dtype:>12}{'equivalent':>11}" for dtype in dtypes)
    for row in dict.fromkeys(map(key, test.results)):
        line = f"{row:<34}"
        for dtype in dtypes:
            mine = [r for r in test.results if key(r) == row and r.dtype == dtype]
            same = sum(r.equivalent for r in mine)
            caught = f"{sum(r.caught for r in mine)}/{len(mine) - same}"
            line += f"{caught:>12}{same or '':>11}"
        yield line.rstrip()


def _survivors(test: SelfTest) -> Iterator[str]:
    """One line per site, dtype and reason, naming the faults."""
    groups = grouped(
        ((r.case, r.quantity, f"{r.adapter} {r.dtype}", r.note), r.fault) for r in test.survivors
    )
    for (case, quantity, who, note), faults in groups.items():
        yield f"{case}, {quantity}, {who}: {', '.join(faults)}: {note}"


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"... and {len(lines) - LIMIT} more lines (all in JSON)"] if len(lines) > LIMIT else []
    return [title, *(f"  {line}" for line in lines[:LIMIT]), *more, ""]


def _conclusion(test: SelfTest) -> list[str]:
    same = sum(r.equivalent for r in test.results)
    caught = [r for r in test.results if r.caught]
    planted = len(test.results) - same
    if not planted:
        return ["UNKNOWN  nothing was planted"]
    named = sum(r.named_rightly for r in caught)
    said = f"{len(caught)} of {planted} faults caught, {named} of them at the right place"
    rest = f"{same} more changed no bit; {len(test.alarms)} accused without a fault"
    word = {0: "CAUGHT", 1: "SURVIVORS", 2: "UNKNOWN"}[test.exit_code]
    if test.alarms and not test.survivors:
        word = "ACCUSED"
    return [rest, f"{word}  {said}"]


@printer(SelfTest, "json")
def to_json(test: SelfTest) -> str:
    """JSON with a versioned schema."""
    document = {
        "schema": SCHEMA,
        "exit_code": test.exit_code,
        "caught": sum(r.caught for r in test.results),
        "planted": sum(not r.equivalent for r in test.results),
        "equivalent": sum(r.equivalent for r in test.results),
        "survived": len(test.survivors),
        "environment": test.environment,
        "alarms": list(test.alarms),
        "results": [{**vars(r), "survived": r.survived} for r in test.results],
    }
    return json.dumps(document, allow_nan=False, indent=1)
