"""The pairs of `python -m benchmarks.pairs`, and what the command prints and counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def test_one_pair(capsys: Any) -> None:
    from benchmarks.pairs.__main__ import main

    assert main(["second", "--only", "layers_by_scan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (2 + 3) + 3
    assert lines[0].split() == ["layers_by_scan", "right", "one,", "other", "same"]
    assert lines[-3] == "right ports accused: 0 of 4"
    assert lines[-2].startswith("place right: ")
    assert lines[-2].endswith(" of 6")
    assert lines[-1].startswith("cause right: ")
    assert lines[-1].endswith(" of 6")


def test_unknown_pair(capsys: Any) -> None:
    from benchmarks.pairs.__main__ import main

    with pytest.raises(SystemExit):
        main(["first", "--only", "nothing"])
    assert "unknown pair 'nothing'. Valid names: cnn, unet, " in capsys.readouterr().err


def test_a_missed_fault_counts_as_wrong() -> None:
    import torch
    from benchmarks.pairs.count import answer, line
    from benchmarks.pairs.pair import Fault

    import gradparity as gp

    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    one, other = (gp.record(lambda: torch.sin(w).sum(), keep=True) for _ in range(2))
    missed, right = answer(one, other, Fault("sin", "cos")), answer(one, other, None)
    assert (missed.same, missed.place, missed.cause) == (True, False, False)
    assert line(missed) == "MISSED"
    assert line(right) == "same"


def test_place_and_cause_are_judged_apart() -> None:
    import torch
    from benchmarks.pairs.count import answer, line
    from benchmarks.pairs.pair import Fault

    import gradparity as gp

    w = torch.linspace(1, 2, 3, dtype=torch.float64).requires_grad_()
    one, other = (
        gp.record(lambda f=f: f(w).pow(2).sum(), keep=True) for f in (torch.sin, torch.tan)
    )
    found = answer(one, other, Fault("sin", "padding"))
    assert (found.same, found.place, found.cause) == (False, True, False)
    assert line(found) == "place right, cause WRONG"
    assert line(answer(one, other, None)) == "ACCUSED"


def test_the_second_set() -> None:
    from benchmarks.pairs import first, second

    assert len(second.PAIRS) == 30
    assert not set(second.PAIRS) & set(first.PAIRS)
