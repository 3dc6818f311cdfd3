"""docs/how-to/pytest.md: its examples run, and fail as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "pytest.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_the_examples_do_what_is_said(pytester: pytest.Pytester) -> None:
    python = [block for language, block in BLOCKS if language == "python"]
    (toml,) = [block for language, block in BLOCKS if language == "toml"]
    (shown,) = [block for language, block in BLOCKS if language == "text"]
    assert len(python) == 4
    pytester.makepyfile(test_gradients="\n".join(python))
    # The adapters are another example's; here the run is to need none.
    pytester.makepyprojecttoml(toml.replace("torch,jax", ""))
    result = pytester.runpytest("-W", "error", "--strict-config", "-k", "not each")
    result.assert_outcomes(failed=2, passed=3, xfailed=1, deselected=2)
    assert _without_digits(shown) in _without_digits(result.stdout.str())


def _without_digits(text: str) -> str:
    """The last ones are those of a platform's sums."""
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "#", text)


def test_every_option_is_in_the_table(pytester: pytest.Pytester) -> None:
    said = set(re.findall(r"--gradparity-\w+", pytester.runpytest("--help").stdout.str()))
    assert said == set(re.findall(r"`(--gradparity-\w+)", TEXT))
