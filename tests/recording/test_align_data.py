"""Two programs with data of another batch, and in formats of few bits."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("seeded")


def recorded(f: Any, *args: Any, name: str = "one") -> Any:
    return gp.record(f, *args, name=name, keep=True)


def model(dtype: Any = None) -> Any:
    torch.manual_seed(0)
    made = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    return made.to(dtype or torch.float64)


def loss(m: Any, x: Any) -> Any:
    return (m(x).float() ** 2).sum() if x.dtype != torch.float64 else (m(x) ** 2).sum()


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("rows", [4, 7])
def test_another_batch_is_told_first_and_alone(rows: int) -> None:
    one, other = (recorded(loss, model(), numbers(n, 8)) for n in (5, rows))
    report = gp.align(one, other)
    (found,) = [f for _, f in report.findings() if f.parity is False]
    assert report.exit_code == 1
    assert f"has the shape (5, 8) here and ({rows}, 8) there" in found.note


def test_a_model_in_bfloat16_is_the_same_and_how_far_is_said() -> None:
    single, half = model(torch.float32), model(torch.bfloat16)
    x = numbers(6, 8).float()
    report = gp.align(recorded(loss, single, x), recorded(loss, half, x.bfloat16()))
    assert not [f for f in report.runs[0].findings if f.parity is False]
    assert "float32 here and bfloat16" in report.runs[0].about
    assert "compared in float64 to 2 digits" in report.runs[0].about


def test_weights_rounded_to_bfloat16_are_told() -> None:
    single = model(torch.float32)
    rounded = copy.deepcopy(single).bfloat16().float()
    x = numbers(6, 8).float()
    report = gp.align(recorded(loss, single, x), recorded(loss, rounded, x))
    assert report.exit_code == 0
    assert "'0.weight' and 3 more inputs are rounded to few bits" in report.runs[0].about


def test_another_number_beside_rounded_weights_is_found() -> None:
    single = model(torch.float32)
    rounded = copy.deepcopy(single).bfloat16().float()
    x = numbers(6, 8).float()
    other = recorded(lambda m, x: (m(x) ** 2).sum() * 1.01, rounded, x)
    assert gp.align(recorded(loss, single, x), other).exit_code == 1


@pytest.mark.parametrize(("by", "said"), [(1, "shifted by"), (0, "")])
def test_labels_of_the_next_token_are_told(by: int, said: str) -> None:
    torch.manual_seed(0)
    tokens, w = torch.randint(9, (3, 12)), torch.randn(9, 9, dtype=torch.float64)

    def step(labels: Any) -> Any:
        def language(w: Any) -> Any:
            logits = w[tokens[:, :-1]].flatten(0, 1)
            return torch.nn.functional.cross_entropy(logits, labels.flatten())

        return recorded(language, w.clone().requires_grad_())

    one, other = step(tokens[:, 1:]), step(tokens[:, 1 - by : 12 - by])
    found = [f.note for f in gp.align(one, other).runs[0].findings if f.parity is False]
    assert len(found) == bool(said)
    assert all(f"its labels are {said}" in note for note in found)
