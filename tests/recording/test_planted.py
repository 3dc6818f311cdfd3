"""Kernels of PyTorch replaced by wrong ones, one at a time: each is accused at its op alone."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gradparity as gp
from gradparity.comparisons.recording import recording

from .programs import PROGRAMS, Program

#: Kernels that only hand on what they are given, as the recording's own hooks call them too.
HANDED_ON = {"detach", "alias", "clone", "_to_copy", "lift_fresh"}
#: What accumulates a final gradient into a parameter's, after all that is recorded.
ACCUMULATES = {"new_empty_strided", "copy_"}
#: Results of 0 and 1 that their own backward kernel refuses otherwise.
MARKS = {"is_target"}
NAMES = [f"{i}-{program.ops.replace(' ', '-')}" for i, program in enumerate(PROGRAMS)]


class Plant(TorchDispatchMode):
    """Makes the results of one call of a kernel too large, in the forward or the backward pass.

    Parameters
    ----------
    backward : in which pass.
    at : which call of the pass, counted from 0; None for none, to count them.
    by : the factor is 1 + by.
    """

    def __init__(self, backward: bool, at: int | None = None, by: float = 0.0) -> None:
        super().__init__()
        self.backward, self.at, self.by = backward, at, by
        self.calls: list[str] = []
        self.fired = False

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        name = str(op).removeprefix("aten.").partition(".")[0]
        inside = torch._C._current_graph_task_id() != -1
        views = any(r.alias_info and not r.alias_info.is_write for r in op._schema.returns)
        left_out = name in ACCUMULATES if inside else views
        if inside is not self.backward or name in HANDED_ON or left_out:
            return out
        self.calls.append(name)
        if len(self.calls) - 1 != self.at:
            return out
        return self._wrong(op, out)

    def _wrong(self, op: Any, out: Any) -> Any:
        if isinstance(out, list | tuple):
            named = [result.name for result in op._schema.returns]
            return type(out)(
                [
                    each if name in MARKS else self._wrong(op, each)
                    for name, each in zip_longest(named[: len(out)], out)
                ]
            )
        if not isinstance(out, torch.Tensor) or not out.is_floating_point() or not out.numel():
            return out
        self.fired = True
        return out.mul_(1 + self.by) if op._schema.is_mutable else out * (1 + self.by)


def step_of(program: Program, plant: Plant) -> tuple[Any, list[torch.Tensor | None]]:
    """The recording of a program in float64 with a plant, and its final gradients."""
    rng = torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    given = [draw(rng).requires_grad_() for draw in program.given]
    with plant, gp.record() as step:
        found = program.f(*given)
        outs = [found] if isinstance(found, torch.Tensor) else list(found)
        outs = [out for out in outs if isinstance(out, torch.Tensor) and out.requires_grad]
        sent = [torch.randn(out.shape, generator=rng, dtype=torch.float64).to(out) for out in outs]
        torch.autograd.backward(outs, sent)
    return step, [x.grad for x in given]


def differ(some: list[Any], others: list[Any]) -> bool:
    return any(
        (a is None) != (b is None)
        or (a is not None and not torch.equal(a.nan_to_num(), b.nan_to_num()))
        for a, b in zip(some, others, strict=True)
    )


def accused(step: Any) -> dict[str, str]:
    """The nodes that are wrong, each with its ATen op."""
    wrong = {f.node for f in step.findings if f.parity is False}
    return {node: step.places[node].function if node in step.places else "" for node in wrong}


@pytest.fixture(autouse=True)
def _unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "EXPLAINED", 0)


def forward_calls(program: Program) -> list[int]:
    """The first call in the forward pass of every op that is recorded."""
    plant = Plant(False)
    step, _ = step_of(program, plant)
    recorded = {place.function.split(".")[1] for place in step.places.values()}
    return [plant.calls.index(name) for name in dict.fromkeys(plant.calls) if name in recorded]


@pytest.mark.sample(82)
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_wrong_kernel_in_backward_is_accused_at_its_op_alone(program: Program) -> None:
    if program.off.get("float64"):
        pytest.skip("PyTorch is wrong by itself")
    unharmed = Plant(True)
    _, clean = step_of(program, unharmed)
    met = 0
    for at in range(len(unharmed.calls)):
        plant = Plant(True, at, 1e-6)
        step, gradients = step_of(program, plant)
        if plant.fired and differ(clean, gradients):
            met += 1
            assert len(accused(step)) == 1, (plant.calls[at], list(map(str, step.findings)))
    silent = all(x is None or not x.any() for x in clean)
    assert met or silent or not unharmed.calls or program.ops == "copy"


def test_a_fault_of_three_times_the_median_bound_is_accused() -> None:
    met = 0
    for program in PROGRAMS:
        plant = Plant(True)
        step, clean = step_of(program, plant)
        if len(plant.calls) != 1 or not plant.calls[0].endswith(("_backward", "_backward_data")):
            continue
        powers = [f.power for f in step.findings if f.quantity.is_gradient]
        # The worst case of 1 - y^2 is wider than the bound that the power is made of.
        if program.off.get("float64") or None in powers or program.ops == "tanh":
            continue
        plant = Plant(True, 0, 3 * max(power.median for power in powers if power is not None))
        step, gradients = step_of(program, plant)
        if differ(clean, gradients):
            met += 1
            assert len(accused(step)) == 1, (program.ops, plant.by, list(map(str, step.findings)))
    assert met > 100


@pytest.mark.sample(210)
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_wrong_kernel_in_forward_is_accused_at_its_op_alone(program: Program) -> None:
    if program.off.get("float64"):
        pytest.skip("PyTorch is wrong by itself")
    for at in forward_calls(program):
        plant = Plant(False, at, 1e-6)
        step, _ = step_of(program, plant)
        unchanged = all(f.verdict == "vacuous" or not f.got for f in step.findings
                        if f.node.startswith(plant.calls[at].strip("_")))  # fmt: skip
        assert len(accused(step)) == 1 or unchanged, (
            plant.calls[at],
            list(map(str, step.findings)),
        )
