"""CTC against all alignments one by one, in 60 digits and in PyTorch and Optax."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.comparisons import selftest
from gradparity.comparisons.cases.vocabulary.alignments import CASES
from gradparity.core import Case, LinearLoss, Network, Node, backprop
from gradparity.core.programs.alignments import CTCOfLogProbabilities

from .oracle import MP, Real

LABELS = np.array([[2, 2, 3], [0, 3, -1], [2, -1, -1], [-1, -1, -1]])
FRAMES = np.array([5, 4, 2, 3])
MASK = (np.arange(5) < FRAMES[:, np.newaxis]).astype(float)
BLANK, K = 1, 4


def logits() -> np.ndarray:
    return 3 * np.random.default_rng(0).standard_normal((4, 5, K))


def one_by_one(labels: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    """-log p and its gradient by the logits y (T, K), alignment by alignment in 60 digits."""
    e = [[MP.exp(MP.mpf(float(a))) for a in row] for row in y]
    Y = [[a / sum(row) for a in row] for row in e]
    wanted, p = [int(k) for k in labels if k >= 0], MP.mpf(0)
    met = np.full(y.shape, MP.mpf(0))
    for alignment in itertools.product(range(K), repeat=len(y)):
        if [k for k, _ in itertools.groupby(alignment) if k != BLANK] != wanted:
            continue
        of_this = MP.mpf(1)
        for t, k in enumerate(alignment):
            of_this *= Y[t][k]
        p += of_this
        for t, k in enumerate(alignment):
            met[t, k] += of_this
    return -MP.log(p), np.array(Y, dtype=object) - met / p


def test_it_is_the_sum_over_all_alignments_in_fifty_digits() -> None:
    op, y = ops.CTC(K, BLANK), logits()
    given = LABELS, Real.array(y), MASK
    z = op.forward(*given)
    dy = op.vjp(Real.array(np.ones(4)), given, z)[1]
    assert dy is not None
    for i, T in enumerate(FRAMES):
        loss, gradient = one_by_one(LABELS[i], y[i, :T])
        assert abs(z[i].v - loss) < MP.mpf(10) ** -50
        for at in np.ndindex(T, K):
            assert abs(dy[i][at].v - gradient[at]) < MP.mpf(10) ** -50
        assert all(float(a) == 0 for a in dy[i, T:].ravel())


def network(op: Any) -> Network:
    names = ("ids", "y", "mask")
    loss = LinearLoss()
    return Network(Node("z", op, *names), divergence=loss, inputs=names, fixed=("mask",))


def test_frameworks_have_it_right_with_lengths_and_repetitions() -> None:
    given = {"ids": LABELS, "y": logits(), "mask": MASK}
    report = gp.check(Case.random(network(ops.CTC(K, BLANK)), x=given))
    assert report.exit_code == 0, report.diagnosis()


def test_labels_without_an_alignment_cost_infinity_or_nothing() -> None:
    y, mask = logits()[:, :3], np.ones(3)
    z = ops.CTC(K, BLANK).forward(LABELS, y, mask)
    assert np.isinf(z).tolist() == [True, False, False, False]
    op = ops.CTC(K, BLANK, zero_infinity=True)
    assert op.forward(LABELS, y, mask)[0] == 0
    dy = op.vjp(np.ones(4), (LABELS, y, mask), z)[1]
    assert dy is not None
    assert not dy[0].any()
    assert dy[1:].any(axis=(1, 2)).all()


@pytest.mark.parametrize("name", CASES)
def test_faults_planted_in_it_are_found(name: str) -> None:
    report = selftest(CASES[name].case(), backprop, dtypes=["float64"])
    assert report, report


def test_check_op_takes_it_as_the_reference_at_special_points_too() -> None:
    torch = pytest.importorskip("torch")

    def of(labels: Any, y: Any) -> Any:
        frames = torch.full((len(y),), y.shape[1])
        log_y, lengths = y.log_softmax(-1).transpose(0, 1), (labels >= 0).sum(-1)
        ctc = torch.nn.functional.ctc_loss
        return ctc(log_y, labels.clamp(min=0), frames, lengths, reduction="none")

    report = gp.check_op(of, "torch", reference=ops.CTC(4), shape=[(2,), (6, 4)])
    assert report.exit_code == 0, report.diagnosis()


def no_repetition(labels: Any, y: Any, mask: Any) -> Any:
    """A mistake: a label may follow itself without a blank between."""
    import torch

    path = torch.full((len(labels), 2 * labels.shape[1] + 1), BLANK)
    path[:, 1::2] = labels.clamp(min=0)
    log_y = y.log_softmax(-1).gather(-1, path[:, None].expand(-1, y.shape[1], -1))
    place = torch.arange(path.shape[1])
    none = torch.full_like(log_y[:, 0], -1e30)
    a = torch.where(place < 2, log_y[:, 0], none)
    for t in range(1, y.shape[1]):
        one = torch.cat([none[:, :1], a[:, :-1]], 1)
        two = torch.where(place % 2 == 1, torch.cat([none[:, :2], a[:, :-2]], 1), none)
        a = torch.stack([a, one, two]).logsumexp(0) + log_y[:, t]
    return -torch.logaddexp(a[:, -1], a[:, -2])


def test_a_recursion_without_the_blank_of_repetitions_is_accused_at_its_node() -> None:
    adapter = gp.get_adapter("torch").with_overrides({ops.CTC: no_repetition})
    labels = np.array([[2, 2], [2, 3], [3, 3]])
    given = {"ids": labels, "y": logits()[:3], "mask": np.ones(5)}
    report = gp.check(Case.random(network(ops.CTC(K, BLANK)), x=given), adapter, dtypes=["float64"])
    wrong = [f for _, f in report.findings() if f.parity is False]
    assert {f.node for f in wrong} == {"z"}


def test_the_gradient_of_a_log_softmax_differs_across_the_surface_alone() -> None:
    y = logits()
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    given, dz = (LABELS, y, MASK), np.ones(4)
    plain = CTCOfLogProbabilities(K, BLANK, normalised=False).vjp(dz, given, dz)[1]
    torchs = CTCOfLogProbabilities(K, BLANK).vjp(dz, given, dz)[1]
    assert plain is not None
    assert torchs is not None
    along = np.random.default_rng(1).standard_normal(y.shape)
    along -= (np.exp(y) * along).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose((plain * along).sum(), (torchs * along).sum(), rtol=1e-12)


ARGUMENTS = [
    (lambda: ops.CTC(1), "n=1"),
    (lambda: ops.CTC(4, blank=4), "blank=4.*from 0 to 3"),
    (lambda: ops.CTC(4, blank=-1), "blank=-1"),
    (lambda: ops.CTC(4, zero_infinity=1), "zero_infinity=1.*True or False"),
    (lambda: ops.CTC(4).check_integers(np.array([[1, 0]])), "run from 0 to 1.*blank 0"),
    (lambda: ops.CTC(4).check_integers(np.array([[1, 4]])), "run from 1 to 4.*from 0 to 3"),
    (lambda: ops.CTC(4).check_integers(np.array([[-1, 2]])), "label comes after -1"),
    (lambda: ops.CTC(4).output_shape((2, 3), (2, 5, 3)), r"y \(\.\.\., T, 4\).*\(2, 5, 3\)"),
    (lambda: ops.CTC(4).output_shape((2, 3), (2, 5, 4), (4,)), r"at most one mask.*\(4,\)"),
    (lambda: ops.CTC(4).output_shape((3,), (2, 5, 4)), r"received \(3,\), \(2, 5, 4\)"),
]


@pytest.mark.parametrize(("make", "message"), ARGUMENTS, ids=[text for _, text in ARGUMENTS])
def test_bad_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_sequence_without_an_alignment_is_described() -> None:
    labels, y = np.array([[1, 2, -1], [1, 1, 2], [1, -1, -1]]), np.zeros((3, 4, 3))
    op, mask = ops.CTC(3), np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])
    assert op.without_value(labels, y) == ""
    assert op.without_value(labels, y, mask).startswith("no alignment of sequence 1 exists: its 3")
    assert np.isinf(op.forward(labels, y, mask)).tolist() == [False, True, False]
    assert "of sequence" not in op.without_value(np.array([1, 1]), np.zeros((2, 3)))
