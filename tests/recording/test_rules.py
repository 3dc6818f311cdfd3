"""Every rule of the table, held to PyTorch by a small program."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gradparity as gp
from gradparity.adapters.torch.record.aten.table import RULES, name_of

from .programs import ON_DEVICES, PROGRAMS, Program

NAMES = [f"{i}-{program.ops.replace(' ', '-')}" for i, program in enumerate(PROGRAMS)]
FORMATS = (torch.float64, torch.float32, torch.bfloat16)


def recorded(program: Program, dtype: torch.dtype) -> Any:
    """The recording of a program, with random gradients at its results."""
    rng = torch.Generator().manual_seed(3)
    given = [draw(rng).to(dtype).requires_grad_() for draw in program.given]
    with gp.record() as step:
        found = program.f(*given)
        outs = [found] if isinstance(found, torch.Tensor) else list(found)
        outs = [out for out in outs if isinstance(out, torch.Tensor) and out.requires_grad]
        sent = [torch.randn(out.shape, generator=rng, dtype=torch.float64).to(out) for out in outs]
        torch.autograd.backward(outs, sent)
    return step


def seen(step: Any) -> set[str]:
    """The names in the table of all ops that were seen."""
    return {str(name_of(place.function)) for place in step.places.values()}


@pytest.mark.sample(473)
@pytest.mark.parametrize("dtype", FORMATS, ids=lambda d: str(d).removeprefix("torch."))
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_rule_agrees_with_pytorch(program: Program, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not program.low:
        pytest.skip("PyTorch has no such kernel")
    step = recorded(program, dtype)
    assert [(u.place.function, u.why) for u in step.unjudged] == []
    wrong = [f for f in step.findings if f.parity is False]
    off = program.off.get(str(dtype).removeprefix("torch."))
    assert {str(f.verdict).lower() for f in wrong} == ({off} if off else set()), list(
        map(str, wrong)
    )
    assert [str(f) for f in step.findings if f.verdict == "inconclusive"] == []
    assert step.findings
    if program.ops != "mkldnn_rnn_layer" or dtype == torch.float32:
        assert seen(step) >= set(program.ops.split())


def test_every_rule_has_a_program() -> None:
    exercised = {name for program in PROGRAMS for name in program.ops.split()}
    ours = {name for name in RULES if "::" not in name}  # others are a user's, as in docstrings
    assert sorted(ours - exercised - set(ON_DEVICES)) == []
    assert sorted(exercised - set(RULES)) == []
