"""Names of the modules and parameters of a recorded program."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons.report.modules import module_rows

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def small() -> Any:
    return nn.Sequential(nn.Linear(3, 3), nn.Tanh())


def modules(step: Any) -> set[str]:
    """The paths of the modules in a report."""
    return {f.module for _, f in gp.check(step).findings()} - {""}


class Pair:
    """A program with its modules in attributes."""

    def __init__(self) -> None:
        self.generator, self.critic = small(), small()

    def step(self) -> Any:
        with gp.record() as step:
            self.critic(self.generator(torch.randn(2, 3))).sum().backward()
        return step


class TestSecondModule:
    def test_has_the_name_of_its_variable(self) -> None:
        G, D = small(), small()
        with gp.record() as step:
            D(G(torch.randn(2, 3))).sum().backward()
        assert modules(step) == {"0", "1", "D.0", "D.1"}
        assert {*step.leaves} == {"0.weight", "0.bias", "D.0.weight", "D.0.bias"}

    def test_has_the_outermost_of_several_names(self) -> None:
        G, D = small(), small()

        def called(net: Any, x: Any) -> Any:
            return net(x)

        with gp.record() as step:
            called(D, called(G, torch.randn(2, 3))).sum().backward()
        assert modules(step) == {"0", "1", "D.0", "D.1"}

    def test_has_the_name_of_an_attribute(self) -> None:
        assert modules(Pair().step()) == {"0", "1", "critic.0", "critic.1"}

    def test_has_its_number_in_a_list(self) -> None:
        nets = [small(), small()]
        with gp.record() as step:
            x = torch.randn(2, 3)
            for i in range(2):
                x = nets[i](x)
            x.sum().backward()
        assert modules(step) == {"0", "1", "nets.1.0", "nets.1.1"}

    def test_has_its_class_without_a_variable(self) -> None:
        nets = {"one": small(), "two": small(), "three": small()}
        with gp.record() as step:
            x = torch.randn(2, 3)
            for key in nets:
                x = nets[key](x)
            x.sum().backward()
        others = {"Sequential.0", "Sequential.1", "Sequential_2.0", "Sequential_2.1"}
        assert modules(step) == {"0", "1"} | others

    def test_does_not_take_the_name_of_a_part_of_the_first(self) -> None:
        first = nn.ModuleDict({"head": small()})
        first.forward = lambda x: first["head"](x)
        head = small()
        with gp.record() as step:
            head(first(torch.randn(2, 3))).sum().backward()
        assert modules(step) == {"head.0", "head.1", "Sequential.0", "Sequential.1"}

    def test_has_its_class_where_its_owner_cannot_be_looked_at(self) -> None:
        class Odd(Pair):
            def __init__(self) -> None:
                super().__init__()
                self._modules = 3

        step = Odd().step()
        assert {m.rpartition(".")[0] for m in modules(step)} <= {"", "critic", "Sequential"}

    def test_keeps_no_variable_alive_and_no_locals_empty(self) -> None:
        G, D = small(), small()
        with gp.record():
            x = G(torch.randn(2, 3))
            seen = weakref.ref(x)
            loss = D(x).sum()
            loss.backward()
        del x, loss
        gc.collect()
        assert seen() is None
        mine = locals()
        E = small()
        with gp.record():
            E(G(torch.randn(2, 3))).sum().backward()
        assert mine["G"] is G


class TestNumberOfNodes:
    """The table of modules and the coverage line count the same nodes."""

    @pytest.mark.parametrize("steps", [1, 2])
    def test_without_parameters_and_steps_of_optimizers(self, steps: int) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(steps):
            with gp.record() as seen:
                model(torch.randn(6, 3)).square().sum().backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
            (run,) = gp.check(seen).runs
            counted = sum(row.nodes for row in module_rows(run))
            assert run.coverage.startswith(f"{counted} of {counted} nodes judged")

    def test_with_what_is_not_judged(self) -> None:
        x = torch.randn(3, requires_grad=True)
        with gp.record() as seen:
            torch.complex(x, x.tanh()).abs().sum().backward()
        (run,) = gp.check(seen).runs
        counted = sum(row.nodes for row in module_rows(run))
        assert f"of {counted} nodes judged" in run.coverage
