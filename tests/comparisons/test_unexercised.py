"""A report lists what the data never exercises; it has no effect on verdicts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons.check.check import check
from gradparity.comparisons.check.unexercised import unexercised
from gradparity.comparisons.report.as_json import from_json, to_json
from gradparity.core import (
    Attention,
    Case,
    Conv,
    Embedding,
    Identity,
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


@pytest.mark.parametrize(
    ("loss", "y", "d", "said"),
    [
        (ops.Huber(10.0), [[1.0, 2.0]], [[0.0, 0.0]], "no output is farther than delta = 10"),
        (ops.Huber(0.1), [[1.0, 2.0]], [[0.0, 0.0]], "no output is within delta = 0.1 of"),
        (ops.Huber(1.5), [[1.0, 2.0]], [[0.0, 0.0]], ""),
        (ops.SmoothL1(3.0), [[1.0, 2.0]], [[0.0, 0.0]], "no output is farther than beta = 3"),
        (ops.L1(), [[1.0, 2.0]], [[0.0, 0.0]], "no output is below its target"),
        (ops.L1(), [[1.0, -2.0]], [[0.0, 0.0]], ""),
        (ops.HingeLoss(), [[0.5, 0.2]], [[1.0, -1.0]], "no output is outside the margin"),
        (ops.SquaredHinge(), [[2.0, -2.0]], [[1.0, -1.0]], "no output is inside the margin"),
        (ops.HingeEmbedding(), [[2.0, 0.5]], [[1.0, -1.0]], "target -1 is above margin = 1"),
        (ops.HingeEmbedding(), [[2.0, 0.5, 3.0]], [[1.0, -1.0, -1.0]], ""),
        (ops.MultiMargin(), [[0.0, 0.5, 5.0]], [2], "no other class is inside the margin"),
        (ops.MultiMargin(), [[0.0, 0.5, 1.2]], [2], ""),
        (ops.NLL(ignore_index=-100), [[-1.0, -2.0]], [0], "no label is ignore_index = -100"),
        (ops.NLL(ignore_index=-100), [[-1.0, -2.0]] * 2, [0, -100], ""),
    ],
    ids=str,
)
def test_branches_of_a_loss(loss: Any, y: Any, d: Any, said: str) -> None:
    network = Network(Node("y1", Identity(), "x"), divergence=loss)
    found = unexercised(Case(network, {}, np.array(y), np.array(d)))
    assert len(found) == bool(said)
    assert not said or (found[0].startswith(f"Div ({loss.name}): ") and said in found[0])


def test_branches_of_a_weighted_loss() -> None:
    network = Network(
        Node("y1", Identity(), "x"),
        divergence=ops.Huber(10.0),
        inputs=("x", "w"),
        weights="w",
    )
    inputs = {"x": np.ones((2, 3)), "w": np.ones(2)}
    found = unexercised(Case(network, {}, inputs, np.zeros((2, 3))))
    assert found == ("Div (Huber): no output is farther than delta = 10 from its target",)


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
