"""Class weights, ignored labels and their mean: other ones are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional

LABELS = torch.tensor([0, 2, 1, 3, 4, 2, 0, 1])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0], dtype=torch.float64)
MADE = np.random.default_rng(0)
X, W, U = (torch.tensor(MADE.standard_normal(shape)) for shape in ((8, 5), (5, 7), (7, 5)))

BATCH = "the number of all labels"


def entropy(how: str, w: Any, u: Any) -> Any:
    z = torch.tanh(X @ w) @ u
    logs = z.log_softmax(-1).gather(1, LABELS[:, None])[:, 0]
    each, seen = WEIGHTS[LABELS], (LABELS != 2).to(z.dtype)
    return {
        "plain": lambda: F.cross_entropy(z, LABELS),
        "weighted": lambda: F.cross_entropy(z, LABELS, weight=WEIGHTS),
        "turned": lambda: F.cross_entropy(z, LABELS, weight=WEIGHTS.flip(0)),
        "over batch": lambda: F.cross_entropy(z, LABELS, weight=WEIGHTS, reduction="none").mean(),
        "ignored": lambda: F.cross_entropy(z, LABELS, ignore_index=2),
        "ignored over batch": lambda: F.cross_entropy(
            z, LABELS, ignore_index=2, reduction="none"
        ).mean(),
        "written": lambda: -logs.mean(),
        "written weighted": lambda: -(logs * each).sum() / each.sum(),
        "written over batch": lambda: -(logs * each).mean(),
        "written ignored": lambda: -(logs * seen).sum() / seen.sum(),
        "written ignored over batch": lambda: -(logs * seen).mean(),
    }[how]()


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ("weighted", "written weighted", ""),
        ("over batch", "written over batch", ""),
        ("ignored", "written ignored", ""),
        ("weighted", "plain", "(0.5, 1, 2, 0.25, 3)"),
        ("weighted", "turned", "(0.5, 1, 2, 0.25, 3)"),
        ("weighted", "written", "(0.5, 1, 2, 0.25, 3)"),
        ("over batch", "plain", "all 1"),
        ("weighted", "over batch", BATCH),
        ("weighted", "written over batch", BATCH),
        ("ignored", "ignored over batch", BATCH),
        ("ignored", "written ignored over batch", BATCH),
        ("ignored", "plain", "ignore_index"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_another_mean_of_labels(here: str, there: str, said: str, turned: bool) -> None:
    made = []
    for how in (there, here) if turned else (here, there):
        parameters = (a.clone().requires_grad_() for a in (W, U))
        made.append(gp.record(entropy, how, *parameters, keep=True))
    found = [f for f in gp.align(*made).runs[0].findings if f.parity is False]
    if not said:
        assert not found
        return
    assert len(found) == 1
    assert said in found[0].note
