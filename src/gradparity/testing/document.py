"""The JSON document that the plugin writes: every report of a test run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

__all__ = ["SCHEMA", "Tests", "document"]

SCHEMA = "gradparity/pytest/1"


Tests = Mapping[str, dict[str, Any]]


def document(tests: Tests, exit_status: int, unfinished: Iterable[str]) -> str:
    """Every report as one JSON object, sorted by test; see docs/reference/json.md."""
    found = [
        {
            "nodeid": nodeid,
            "outcome": tests[nodeid]["outcome"],
            "skipped": tests[nodeid]["skipped"],
            "reports": [r for sent in tests[nodeid]["sent"] for r in sent["reports"]],
        }
        for nodeid in sorted(tests)
    ]
    whole = {
        "schema": SCHEMA,
        "exit_status": exit_status,
        "unfinished": sorted(unfinished),
        "tests": found,
    }
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"
