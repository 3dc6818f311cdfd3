"""The pairs of `python -m benchmarks.pairs`, and what the command prints and counts."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
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
    assert len(lines) == 2 * (2 + 3) + 4
    assert lines[0].split()[:5] == ["layers_by_scan", "right", "one,", "other", "same"]
    assert lines[-4] == "right ports accused: 0 of 4"
    assert lines[-3].startswith("place right: ")
    assert lines[-3].endswith(" of 6")
    assert lines[-2].startswith("cause right: ")
    assert lines[-2].endswith(" of 6")
    assert lines[-1].startswith("seconds: ")


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


def test_the_third_set() -> None:
    from benchmarks.pairs import first, second, third

    assert len(third.PAIRS) == 25
    assert not set(third.PAIRS) & {*first.PAIRS, *second.PAIRS}


def test_the_fourth_set() -> None:
    from benchmarks.pairs import first, fourth, second, third

    assert len(fourth.PAIRS) == 24
    assert not set(fourth.PAIRS) & {*first.PAIRS, *second.PAIRS, *third.PAIRS}


def test_the_fifth_set() -> None:
    from benchmarks.pairs import fifth, first, fourth, second, third

    assert len(fifth.PAIRS) == 20
    assert not set(fifth.PAIRS) & {*first.PAIRS, *second.PAIRS, *third.PAIRS, *fourth.PAIRS}


def test_the_sixth_set() -> None:
    from benchmarks.pairs import fifth, first, fourth, second, sixth, third

    assert len(sixth.PAIRS) == 25
    for others in (first, second, third, fourth, fifth):
        assert not set(sixth.PAIRS) & set(others.PAIRS)


def test_the_seventh_set() -> None:
    from benchmarks.pairs import fifth, first, fourth, second, seventh, sixth, third

    assert len(seventh.PAIRS) == 25
    for others in (first, second, third, fourth, fifth, sixth):
        assert not set(seventh.PAIRS) & set(others.PAIRS)


@pytest.mark.sample(2)
@pytest.mark.parametrize("which", ["third", "fourth", "fifth", "sixth", "seventh"])
def test_each_pair_has_three_faults_and_a_right_port(which: str) -> None:
    for name, make in importlib.import_module(f"benchmarks.pairs.{which}").PAIRS.items():
        pair = make()
        assert len(pair.faults) == 3, name
        assert not set(pair.harmless) & set(pair.faults), name


def by_torch(f: Any, model: Any, name: str = "") -> Any:
    model.zero_grad()
    loss = f(model)
    loss.backward()
    return numbers(loss, [p.grad for p in model.parameters() if p.grad is not None])


def by_jax(f: Any, params: Any, name: str = "") -> Any:
    import jax

    loss, grads = jax.value_and_grad(f)(params)
    return numbers(loss, jax.tree.leaves(grads))


def numbers(loss: Any, grads: Any) -> Any:
    """The loss, and the norms of its gradients that are not zero, in order of size."""
    norms = sorted(float((g**2).sum()) ** 0.5 for g in grads)
    return np.array([loss.item(), *(n for n in norms if n > 1e-9)])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["third", "fourth", "fifth", "sixth", "seventh"])
def test_losses_of_a_set(which: str, monkeypatch: Any) -> None:
    """Right ports give the loss and gradients of the original in size, and faults change one."""
    import jax
    from benchmarks.pairs import pair

    pairs = importlib.import_module(f"benchmarks.pairs.{which}").PAIRS
    for module in (pair, *(sys.modules[make.__module__] for make in pairs.values())):
        monkeypatch.setattr(module, "torch_side", by_torch, raising=False)
        monkeypatch.setattr(module, "jax_side", by_jax, raising=False)
    with jax.enable_x64(True):
        for name, make in pairs.items():
            p = make()
            one = p.one()
            for fault in ("", *p.harmless, *p.faults):
                other = p.other(fault)
                same = one.shape == other.shape and np.allclose(one, other, rtol=1e-9, atol=1e-11)
                assert same == (fault not in p.faults), (name, fault)
