"""Segments: empty ones, ties, wrong ids and shapes, and ties through a whole network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradparity.comparisons import check
from gradparity.core import Affine, Case, LinearLoss, Network, Node
from gradparity.core.vocabulary.segments import SegmentMax, SegmentMean, SegmentSum

IDS, Y = np.array([0, 2, 0, 2, 2]), np.array([1.0, 5.0, 3.0, 5.0, -2.0])


def test_an_empty_segment_without_a_number_is_named():
    op = SegmentMax(3)
    assert op.unexercised((IDS, Y)) == (
        "segment 1 is empty, so z is -inf there; give fill=0.0 for a finite one"
    )
    assert SegmentMax(3, fill=0.0).unexercised((IDS, Y)) == ""
    assert op.hides
    assert not SegmentMax(3, fill=0.0).hides


def test_an_empty_segment_is_zero_or_the_fill_and_sends_no_gradient():
    assert SegmentSum(3).forward(IDS, Y).tolist() == [4, 0, 8]
    assert SegmentMean(3).forward(IDS, Y).tolist() == [2, 0, 8 / 3]
    assert SegmentMax(3).forward(IDS, Y).tolist() == [3, -math.inf, 5]
    assert SegmentMax(3, fill=3.0).forward(IDS, Y).tolist() == [3, 3, 5]
    dz = np.array([1.0, 10.0, 100.0])
    assert SegmentMax(3, fill=3.0).vjp(dz, (IDS, Y), None)[1].tolist() == [0, 50, 1, 50, 0]


@pytest.mark.parametrize(("ties", "dy"), [("first", [6, 0]), ("last", [0, 6]), ("even", [3, 3])])
def test_a_tie_in_a_segment(ties, dy):
    op, dz = SegmentMax(3, ties=ties), np.array([0.0, 0.0, 6.0])
    assert op.vjp(dz, (IDS, Y), None)[1][[1, 3]].tolist() == dy
    tied = op.subdifferential((IDS, Y), 0.0)
    assert (tied.group.tolist(), tied.element.tolist()) == ([2, 2], [1, 3])
    assert tied.input.tolist() == [1, 1]
    routes = op.routes_of((IDS, Y))
    assert sorted(zip(routes.group.tolist(), routes.element.tolist(), strict=True)) == [
        (0, 0), (0, 2), (2, 1), (2, 3), (2, 4)
    ]  # fmt: skip


def test_wrong_arguments_and_inputs():
    for make, message in (
        (lambda: SegmentSum(3, axis=2), r"axis=2.*give 0 or 1"),
        (lambda: SegmentMax(3, fill=math.nan), r"fill=nan"),
        (lambda: SegmentMax(3, ties="all"), r"ties='all'"),
        (lambda: SegmentSum(3).check_integers(np.array([3])), r"from 3 to 3; give ids from 0 to 2"),
        (lambda: SegmentSum(3, axis=1).output_shape((5,), (5, 4)), r"ids \(5,\).*\(5, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize("adapter", ["torch", "jax"])
def test_ties_of_computed_values_in_a_segment(adapter):
    """Two equal rows behind an affine map tie in the same segment, whatever it rounds."""
    pytest.importorskip(adapter)
    network = Network(
        Node("a", Affine(3, 2), "y"),
        Node("z", SegmentMax(2, axis=1, fill=0.0), "ids", "a"),
        divergence=LinearLoss(),
        inputs=("ids", "y"),
    )
    y = np.random.default_rng(0).standard_normal((4, 5, 3))
    y[:, 3] = y[:, 1]
    ids = np.array([[0, 1, 0, 1, 0]] * 4)
    report = check(Case.random(network, seed=0, x={"ids": ids, "y": y}), adapter)
    assert report.exit_code == 0, report.diagnosis()
