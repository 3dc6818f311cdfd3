"""Hooks of the program that change gradients on their way are named."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons.findings.finding import Verdict

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def parameter(*shape: int) -> Any:
    return nn.Parameter(torch.randn(*shape, dtype=torch.float64))


torch.manual_seed(0)
W = parameter(4, 4)
X = torch.randn(3, 4, dtype=torch.float64)


class TestHooks:
    def test_a_hook_that_changes_a_gradient_is_named(self) -> None:
        def twice(g: Any) -> Any:
            return g * 2

        def step() -> None:
            y = X @ W
            y.register_hook(twice)
            y.tanh().sum().backward()

        with gp.record() as seen:
            step()
        report = gp.check(seen)
        assert report.exit_code == 1
        assert "twice, a hook, changes what left tanh_1 on its way" in report.diagnosis()
        with gp.record(allow=["gradient-hook"]) as seen:
            step()
        assert gp.check(seen).exit_code == 0

    def test_in_place_too(self) -> None:
        with gp.record() as seen:
            y = X @ W
            y.register_hook(lambda g: g.mul_(2.0))
            y.tanh().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 1
        assert "by writing into it" in report.diagnosis()

    def test_on_a_parameter(self) -> None:
        own = parameter(4, 4)
        own.register_hook(lambda g: g.clamp(-1e-9, 1e-9))
        with gp.record() as seen:
            (X @ own).tanh().sum().backward()
        (final,) = [f for _, f in gp.check(seen).findings() if f.final]
        assert final.convention == "gradient-hook"

    def test_of_a_module_that_only_looks(self) -> None:
        model = nn.Linear(4, 4)
        model.register_full_backward_hook(lambda *_: None)
        with gp.record() as seen:
            model(X.float().requires_grad_()).tanh().sum().backward()
        assert gp.check(seen).exit_code == 0
        assert seen.coverage == 1.0

    def test_of_a_module_that_changes_its_gradient(self) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

        def thrice(module: Any, into: Any, out: Any) -> Any:
            return (into[0] * 3,)

        model[1].register_full_backward_hook(thrice)
        with gp.record() as seen:
            model(X.float()).tanh().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 1
        (found,) = [f for _, f in report.findings() if f.parity is False]
        assert found.convention == "gradient-hook"
        assert "thrice, a hook, changes" in found.note

    @pytest.mark.parametrize("kind", ["pre", "old", "of all modules"])
    def test_of_a_module_of_any_kind_is_named(self, kind: str) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

        def twice(module: Any, *gradients: Any) -> Any:
            if isinstance(module, nn.Tanh):
                return tuple(g * 2 for g in gradients[0])
            return None

        registered = {
            "pre": model[1].register_full_backward_pre_hook,
            "old": model[1].register_backward_hook,
            "of all modules": nn.modules.module.register_module_full_backward_hook,
        }[kind](twice)
        try:
            with gp.record() as seen, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model(X.float()).square().sum().backward()
        finally:
            registered.remove()
        (found,) = [f for _, f in gp.check(seen).findings() if f.parity is False]
        assert found.convention == "gradient-hook"
        assert "twice, a hook, changes" in found.note

    def test_on_a_node_of_autograd(self) -> None:
        with gp.record() as seen:
            y = (X @ W).tanh()
            y.grad_fn.register_prehook(lambda out: (out[0] * 2,))
            y.square().sum().backward()
        (found,) = [f for _, f in gp.check(seen).findings() if f.parity is False]
        assert found.verdict is Verdict.MISMATCH
        assert "a hook on a node of autograd" in found.note

    def test_on_a_node_before_it_was_seen_gives_the_factor(self) -> None:
        own = nn.Parameter(torch.randn(4, 4))
        with gp.record() as seen:
            y = nn.functional.linear(X.float(), own, torch.zeros(4))
            y.grad_fn.register_hook(
                lambda into, out: tuple(None if g is None else g * 2 for g in into)
            )
            y.square().sum().backward()
        (found,) = [f for _, f in gp.check(seen).findings() if f.parity is False]
        assert found.note.startswith("every element is 2 times the formula; right in float64")

    @pytest.mark.parametrize("freed", [True, False])
    def test_whether_or_not_its_tensor_is_freed_before(self, freed: bool) -> None:
        def twice(g: Any) -> Any:
            return g * 2

        with gp.record() as seen:
            y = X @ W
            z = y.tanh()
            y.register_hook(twice)
            if freed:
                del y
            z.sum().backward()
        assert "twice, a hook" in gp.check(seen).diagnosis()

    def test_a_hook_that_was_removed_is_not_named(self) -> None:
        with gp.record() as seen:
            y = X @ W
            y.register_hook(lambda g: g * 2).remove()
            z = y.tanh()
            del y
            z.sum().backward()
        assert gp.check(seen).exit_code == 0

    def test_registering_is_left_as_it_was(self) -> None:
        register, run = torch.Tensor.register_hook, torch.autograd._engine_run_backward
        with pytest.raises(ZeroDivisionError), gp.record():
            1 / 0  # noqa: B018
        assert torch.Tensor.register_hook is register
        assert torch.autograd._engine_run_backward is run

    def test_on_a_sparse_gradient(self) -> None:
        def twice(g: Any) -> Any:
            return g * 2

        embedding = nn.Embedding(10, 4, sparse=True)
        embedding.weight.register_hook(twice)
        with gp.record() as seen:
            embedding(torch.tensor([1, 2, 1])).tanh().sum().backward()
        (found,) = [f for _, f in gp.check(seen).findings() if f.parity is False]
        assert found.convention == "gradient-hook"
        assert "twice, a hook" in found.note
