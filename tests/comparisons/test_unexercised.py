"""A report lists what the data never exercises; it has no effect on verdicts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons.check.check import check
from gradparity.comparisons.report.as_json import from_json, to_json
from gradparity.core import (
    Attention,
    Case,
    Conv,
    Embedding,
    LeakyReLU,
    LinearLoss,
    Max,
    MaxPool,
    Network,
    Node,
    ReLU,
    backprop,
    layered,
)


@pytest.mark.parametrize(
    ("op", "y", "said"),
    [
        (ReLU(), [[1.0, 2.0]], "no input is below 0"),
        (ReLU(), [[-1.0, 2.0]], ""),
        (LeakyReLU(), [[-1.0]], "no input is above 0"),
        (Max(), [[1.0, 2.0]], "ties did not occur"),
        (Max(), [[2.0, 2.0]], ""),
        (MaxPool(2), [[[1.0, 2.0, 3.0]]], "ties did not occur"),
        (MaxPool(2, stride=2), [[[2.0, 2.0, 3.0]]], "windows do not overlap"),
        (
            MaxPool(2, stride=2),
            [[[1.0, 2.0, 3.0]]],
            "ties did not occur and windows do not overlap",
        ),
        (Conv(1, 1, 2, stride=2), [[[1.0, 2.0, 3.0, 4.0]]], "windows do not overlap"),
        (Conv(1, 1, 3), [[[1.0, 2.0, 3.0]]], "windows do not overlap"),
        (Conv(1, 1, 2), [[[1.0, 2.0, 3.0]]], ""),
        (Conv(1, 1, 1), [[[1.0, 2.0, 3.0]]], ""),
        (Embedding(3, 2), [0, 2], "1 of 3 rows are used by no id"),
        (Embedding(3, 2, padding_idx=1), [0, 2], "no id is padding_idx = 1"),
        (Embedding(3, 2, padding_idx=1), [0, 1, 2], ""),
    ],
    ids=str,
)
def test_what_data_never_exercise(op: Any, y: Any, said: str) -> None:
    assert op.unexercised((np.array(y),)) == said


def test_it_is_in_the_report_and_in_json_without_effect() -> None:
    case = Case.random(layered([ReLU()], LinearLoss()), x=np.ones((2, 3)))
    report = check(case, backprop)
    assert report.exit_code == 0
    assert report.runs[0].unexercised == ("y1 (ReLU): no input is below 0",)
    assert "not exercised by this data: y1 (ReLU)" in str(report)
    text = to_json(report)
    assert from_json(text) == report
    older = json.loads(text)
    for run in older["runs"]:
        del run["unexercised"]
    assert from_json(json.dumps(older)).runs[0].unexercised == ()


def test_an_embedding_in_a_network() -> None:
    network = Network(Node("e", Embedding(3, 2), "x"), divergence=LinearLoss())
    report = check(Case.random(network, x=np.array([0, 0])), backprop)
    assert report.runs[0].unexercised == ("e (Embedding): 2 of 3 rows are used by no id",)


def test_a_mask_that_hides_nothing() -> None:
    q, mask = np.ones((2, 3, 4)), np.zeros((3, 3))
    assert Attention(mask=True).unexercised((q, q, q, mask)) == "the mask hides no position"
    mask[0, 1] = -np.inf
    assert Attention(mask=True).unexercised((q, q, q, mask)) == ""
    assert Attention().unexercised((q, q, q)) == ""
