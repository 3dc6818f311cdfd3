"""The conformance suite: our adapters pass it, and each broken one fails the check meant for it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from typing import Any
from unittest import SkipTest

import pytest

from gradparity import core
from gradparity.comparisons.cases.suite import LOSSES, OPS
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.core import (
    L2,
    Add,
    Affine,
    Concatenate,
    CrossEntropy,
    LinearLoss,
    Multiply,
    ReLU,
    Tanh,
)
from gradparity.testing.conformance import AdapterConformance, CheckResults, check_adapter, checks

import broken_adapters as zoo

Sound = zoo.Sound
NAMES = list(checks("torch"))


@pytest.mark.skipif(not find_spec("torch"), reason="no torch")
class TestTorch(AdapterConformance):
    adapter = "torch"


def _jax() -> list[Any]:
    """Each network is compiled for itself, which takes minutes; others judge them together."""
    quick = (
        "protocol", "entry", "name", "versions", "trace", "copies", "round", "unknown", "global",
        "optional-kinks", "optional-vjp",
    )  # fmt: skip
    return [
        pytest.param(name, marks=() if name.startswith(quick) else pytest.mark.slow)
        for name in NAMES
    ]


@pytest.mark.sample(5)
@pytest.mark.skipif(not find_spec("jax"), reason="no jax")
@pytest.mark.parametrize("name", _jax())
def test_jax(name: str) -> None:
    checks("jax")[name]()


class TestAnAdapterThatKeepsEveryPromise:
    def test_passes_every_check(self) -> None:
        results = check_adapter(Sound())
        assert [r.check for r in results] == NAMES
        statuses = {r.check: r.status for r in results if r.status != "passed"}
        assert set(statuses.values()) == {"skipped"}
        assert set(statuses) == {
            "dtype-float16", "dtype-bfloat16", "dtype-tf32",
            "optional-trainer", "optional-kinks", "optional-vjp", "optional-with_overrides",
        }  # fmt: skip

    def test_is_taken_by_name_by_instance_and_by_class(self) -> None:
        for given in ("sound", Sound(), Sound):
            for name in ("protocol", "entry-point", "trace-complete"):
                checks(given)[name]()

    def test_may_have_optional_parts(self) -> None:
        found = checks(zoo._Optional())
        for name in ("optional-trainer", "optional-vjp"):
            found[name]()

    def test_may_have_float32_alone(self) -> None:
        results = {r.check: r for r in check_adapter(Narrow(), on_fail=None)}
        assert results["dtype-float64"].status == "skipped"
        assert "not supported: only float32" in results["dtype-float64"].message
        assert {n for n, r in results.items() if not r.ok} == {"entry-point"}  # not Sound itself


class Narrow(Sound):
    """A framework without float64."""

    def computed(self, case: Any) -> Any:
        if case.precision.name != "float32":
            raise zoo.AdapterError("only float32")
        return super().computed(case)


@cache
def results_of(few: tuple[type, ...]) -> CheckResults:
    """The results of an adapter that has nothing but these."""
    return check_adapter(zoo.knowing(*few)(), on_fail=None)


class TestAnAdapterThatIsNotFinished:
    """Refusals by name are reported, and are not failures of the supported parts."""

    FEW = (
        (Affine, ReLU, Tanh, CrossEntropy),
        (Affine, Tanh, L2),
        (Affine, LinearLoss),
    )

    @pytest.mark.parametrize("few", FEW, ids=lambda few: "-".join(each.__name__ for each in few))
    def test_is_asked_for_what_it_has(self, few: tuple[type, ...]) -> None:
        results = {r.check: r for r in results_of(few)}
        assert {n for n, r in results.items() if not r.ok} == {"entry-point"}  # not Sound itself
        general = (
            "trace-complete", "copies-trace", "round-trip", "deterministic", "dtype-argument",
            "run-all", "unknown-op", "global-state", "batch-of-one", "large", "branch-dead-end",
            "dtype-float32", "dtype-float64",
        )  # fmt: skip
        assert {name: results[name].status for name in general} == dict.fromkeys(general, "passed")
        assert results["op-gelu"].status == results["branch-used-twice"].status == "refused"
        plain = {LinearLoss, L2} & set(few)
        assert results["op-affine"].status == ("passed" if plain else "refused")

    def test_is_told_what_is_missing_and_once(self) -> None:
        text = str(results_of(self.FEW[0]))
        assert text.count("the sound adapter has no LinearLoss") == 1
        assert re.search(r"refused +op-affine +the sound adapter has no LinearLoss", text)

    def test_fails_where_it_is_wrong_beside_what_it_refuses(self) -> None:
        class Wrong(zoo.refusing(core.KL())):
            def computed(self, case: Any) -> Any:
                trace = super().computed(case)
                trace.grad["b1"] *= trace.dtype.type(1.5)
                return trace

        with pytest.raises(AssertionError, match="grad b1"):
            checks(Wrong())["targets-labels"]()
        with pytest.raises(SkipTest, match="has no KL"):
            checks(zoo.refusing(core.KL())())["targets-labels"]()

    def test_needs_an_affine_and_a_divergence(self) -> None:
        for kinds in ((), (Affine,), (ReLU, LinearLoss)):
            with pytest.raises(AssertionError, match="begin with Affine and LinearLoss"):
                checks(zoo.knowing(*kinds)())["trace-complete"]()

    def test_is_wrong_to_refuse_without_a_name(self) -> None:
        class Mute(Sound):
            def build(self, network: Any, params: Any) -> Any:
                if any(type(node.op) is core.GELU for node in network.nodes):
                    raise zoo.AdapterError("not yet")
                return super().build(network, params)

        with pytest.raises(AssertionError, match=r"not yet .*has to name the op"):
            checks(Mute())["op-gelu"]()


class TestABrokenAdapter:
    @pytest.mark.parametrize("which", zoo.ZOO)
    def test_fails_the_check_meant_for_it(self, which: str) -> None:
        broken, message = zoo.ZOO[which]
        with pytest.raises(AssertionError, match=rf"(?s){message}"):
            checks(broken())[which.split(":")[0]]()

    @pytest.mark.parametrize("name", [n for n in OPS if n != "vector-activation"])
    def test_without_an_op_or_wrong_at_it_fails_the_check_of_it(self, name: str) -> None:
        op, _ = OPS[name]
        parts = [part for _, part in op.chain()] if isinstance(op, core.Compound) else [op]
        named = "|".join(type(part).__name__ for part in parts)
        with pytest.raises(SkipTest, match=rf"has no ({named})"):
            checks(zoo.refusing(op)())[f"op-{name}"]()
        with pytest.raises(AssertionError, match=rf"(?s) in grad .*'(op|net)-{name}'"):
            checks(zoo.wrong_at(zoo.nodes_with(op))())[f"op-{name}"]()

    @pytest.mark.parametrize("name", SHAPED)
    def test_without_a_shaped_op_or_wrong_at_it(self, name: str) -> None:
        op = SHAPED[name].op
        with pytest.raises(SkipTest, match=f"has no {type(op).__name__}"):
            checks(zoo.refusing(op)())[f"op-{name}"]()
        with pytest.raises(AssertionError, match=r"(?s)value y1.*, at node 'y1'"):
            checks(zoo.wrong_value_of(op)())[f"op-{name}"]()

    @pytest.mark.parametrize("op", [Add(), Multiply(), Concatenate()], ids=lambda op: op.name)
    def test_at_an_op_of_several_values(self, op: Any) -> None:
        broken = {SkipTest: zoo.refusing(op), AssertionError: zoo.wrong_at(zoo.nodes_with(op))}
        for error, adapter in broken.items():
            with pytest.raises(error, match=op.name):
                checks(adapter())[f"op-{op.name.lower()}"]()

    @pytest.mark.sample(13)
    @pytest.mark.parametrize("name", LOSSES)
    def test_without_a_divergence_or_wrong_at_it(self, name: str) -> None:
        divergence = LOSSES[name][0]
        with pytest.raises(SkipTest, match=f"has no {type(divergence).__name__}"):
            checks(zoo.refusing(divergence)())[f"loss-{name}"]()
        with pytest.raises(AssertionError, match=rf"(?s)-> Div, at.*'{name} mean'"):
            checks(zoo.wrong_at(lambda network: {"Div"})())[f"loss-{name}"]()

    def test_every_check_has_a_broken_adapter(self) -> None:
        have = {which.split(":")[0] for which in zoo.ZOO}
        have |= {f"op-{name}" for name in (*OPS, *SHAPED, "add", "multiply", "concatenate")}
        have |= {f"loss-{name}" for name in LOSSES}
        assert set(NAMES) - have == {"dtype-tf32"}  # as dtype-bfloat16


@pytest.mark.skipif(not find_spec("torch"), reason="no torch")
class TestGlobalStateOfTorch:
    @pytest.mark.parametrize(
        ("leave", "said"),
        [
            ("torch.set_default_dtype(torch.float64)", "default dtype of torch"),
            ("torch.set_default_dtype(torch.float32)", "default dtype of torch"),
            ("torch.manual_seed(0)", "random numbers of torch"),
            ("torch.set_num_threads(1)", "number of threads of torch"),
            ("torch.set_num_threads(3)", "number of threads of torch"),
            ("torch.set_grad_enabled(False)", "grad mode of torch"),
            ("torch.set_float32_matmul_precision('high')", "matmul precision of torch"),
            ("torch.set_float32_matmul_precision('highest')", "matmul precision of torch"),
        ],
    )
    def test_the_same_change_every_time_is_seen_and_undone(self, leave: str, said: str) -> None:
        import torch

        def state() -> Any:
            return (
                torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                torch.get_float32_matmul_precision(), torch.get_rng_state().tolist(),
            )  # fmt: skip

        class Leaves(zoo._Leaving):
            active = False

            def leave(self) -> None:
                if self.active:
                    exec(leave, {"torch": torch})

        adapter, before = Leaves(), state()
        Leaves.active = True
        with torch.random.fork_rng([]):
            try:
                with pytest.raises(AssertionError, match=rf"changed {said}; "):
                    checks(adapter)["global-state"]()
            finally:
                torch.set_default_dtype(before[0])
                torch.set_num_threads(before[1])
                torch.set_grad_enabled(before[2])
                torch.set_float32_matmul_precision(before[3])
        assert state() == before


@pytest.mark.skipif(not find_spec("jax"), reason="no jax")
@pytest.mark.parametrize("value", [False, True])
def test_the_same_change_of_jax_every_time_is_seen(value: bool) -> None:
    import jax

    before = jax.config.jax_enable_x64

    class Leaves(zoo._Leaving):
        def leave(self) -> None:
            jax.config.update("jax_enable_x64", value)

    try:
        with pytest.raises(AssertionError, match="changed jax_enable_x64; "):
            checks(Leaves())["global-state"]()
    finally:
        jax.config.update("jax_enable_x64", before)
