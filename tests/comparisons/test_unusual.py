"""Right but unusual implementations pass; those that are wrong in a rare place do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

from unusual import RIGHT, WRONG, Pair


def sampled(names: Iterable[str]) -> list[Any]:
    """Every eighth by default, the others as `slow`."""
    return [
        name if i % 8 == 0 else pytest.param(name, marks=pytest.mark.slow)
        for i, name in enumerate(names)
    ]


def checked(pair: Pair) -> gp.Report:
    with np.errstate(all="ignore"):
        return gp.check_op(pair.forward, pair.backward, reference=pair.op, shape=pair.shape)


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", sampled(RIGHT))
def test_a_right_implementation_is_not_accused(name: str) -> None:
    report = checked(RIGHT[name])
    assert report, str(report.diagnosis())


@pytest.mark.sample(6)
@pytest.mark.parametrize("name", sampled(WRONG))
def test_a_wrong_implementation_is_accused(name: str) -> None:
    assert checked(WRONG[name]).exit_code == 1


def test_there_are_enough_of_both() -> None:
    assert len(RIGHT) >= 100
    assert len(WRONG) >= 50
