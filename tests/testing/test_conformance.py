"""The conformance suite: our adapters pass it, and each broken one fails the check meant for it."""

from __future__ import annotations

import random
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest

import gradparity
from gradparity import core
from gradparity.adapters.base import GROUP
from gradparity.comparisons.suite import LOSSES, OPS
from gradparity.core import (
    L2,
    Add,
    Affine,
    Concatenate,
    CrossEntropy,
    InnerProduct,
    Multiply,
    ReLU,
    Tanh,
)
from gradparity.testing.conformance import (
    AdapterConformance,
    CheckResult,
    CheckResults,
    check_adapter,
    checks,
    subject,
    suite,
    trace,
)

pytest_plugins = ["pytester"]


def _load(name: str) -> Any:
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    sys.modules[name] = module  # entry points load it by its name
    spec.loader.exec_module(module)
    return module


zoo = _load("broken_adapters")
Sound = zoo.Sound
NAMES = list(checks("torch"))


@pytest.fixture(autouse=True)
def _state() -> Iterator[None]:
    """What the broken adapters leave changed is put back: other tests run in this process too."""
    seen, states = random.getstate(), np.random.get_state()
    with np.printoptions(), np.errstate(), warnings.catch_warnings():
        yield
    random.setstate(seen)
    np.random.set_state(states)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Sound` is registered under its name, beside ours."""
    from importlib.metadata import entry_points

    points = [*entry_points(group=GROUP), EntryPoint("sound", "broken_adapters:Sound", GROUP)]
    for module in (subject, trace):
        monkeypatch.setattr(module, "entry_points", lambda group: points)


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
            "optional-trainer", "optional-kinks", "optional-vjp", "optional-replacing",
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


class TestAnAdapterThatIsNotFinished:
    """What it refuses by name is told, and is no failure of what it can do."""

    FEW = (
        (Affine, ReLU, Tanh, CrossEntropy),
        (Affine, Tanh, L2),
        (Affine, InnerProduct),
    )

    @pytest.mark.parametrize("few", FEW, ids=lambda few: "-".join(each.__name__ for each in few))
    def test_is_asked_for_what_it_has(self, few: tuple[type, ...]) -> None:
        results = {r.check: r for r in check_adapter(zoo.knowing(*few)(), on_fail=None)}
        assert {n for n, r in results.items() if not r.ok} == {"entry-point"}  # not Sound itself
        general = (
            "trace-complete", "copies-trace", "round-trip", "deterministic", "dtype-argument",
            "run-all", "unknown-op", "global-state", "batch-of-one", "large", "branch-dead-end",
            "dtype-float32", "dtype-float64",
        )  # fmt: skip
        assert {name: results[name].status for name in general} == dict.fromkeys(general, "passed")
        assert results["op-gelu"].status == results["branch-used-twice"].status == "refused"
        plain = {InnerProduct, L2} & set(few)
        assert results["op-affine"].status == ("passed" if plain else "refused")

    def test_is_told_what_is_missing_and_once(self) -> None:
        text = str(check_adapter(zoo.knowing(*self.FEW[0])(), on_fail=None))
        assert text.count("the sound adapter has no InnerProduct") == 1
        assert re.search(r"refused +op-affine +the sound adapter has no InnerProduct", text)

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
        for kinds in ((), (Affine,), (ReLU, InnerProduct)):
            with pytest.raises(AssertionError, match="begin with Affine and InnerProduct"):
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

    @pytest.mark.parametrize("op", [Add(), Multiply(), Concatenate()], ids=lambda op: op.name)
    def test_at_an_op_of_several_values(self, op: Any) -> None:
        broken = {SkipTest: zoo.refusing(op), AssertionError: zoo.wrong_at(zoo.nodes_with(op))}
        for error, adapter in broken.items():
            with pytest.raises(error, match=op.name):
                checks(adapter())[f"op-{op.name.lower()}"]()

    @pytest.mark.parametrize("name", LOSSES)
    def test_without_a_divergence_or_wrong_at_it(self, name: str) -> None:
        divergence = LOSSES[name][0]
        with pytest.raises(SkipTest, match=f"has no {type(divergence).__name__}"):
            checks(zoo.refusing(divergence)())[f"loss-{name}"]()
        with pytest.raises(AssertionError, match=rf"(?s)-> Div, at.*'{name} mean'"):
            checks(zoo.wrong_at(lambda network: {"Div"})())[f"loss-{name}"]()

    def test_every_check_has_a_broken_adapter(self) -> None:
        have = {which.split(":")[0] for which in zoo.ZOO}
        have |= {f"op-{name}" for name in (*OPS, "add", "multiply", "concatenate")}
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


class TestTheReport:
    @pytest.fixture(autouse=True)
    def _few_checks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dozen, for what is asked here does not depend on their number."""
        slow = ("op-", "loss-", "targets-", "branch-", "dtype-")
        kept = ("op-affine", "op-relu", "branch-several-uses", "dtype-float16")
        for name in NAMES:
            if name.startswith(slow) and name not in kept:
                monkeypatch.delitem(suite.CHECKS, name)

    def test_lists_everything_that_is_missing_not_the_first(self) -> None:
        with pytest.raises(AssertionError) as error:
            check_adapter(zoo.Incomplete())
        said = str(error.value)
        assert "the adapter 'sound' does not conform" in said
        for name in ("entry-point", "trace-complete", "op-affine", "branch-several-uses"):
            assert f"failed  {name} " in said
        assert "passed" not in said

    def test_says_the_same_once(self) -> None:
        """As it is where an adapter is begun: one error everywhere, with where it was raised."""

        class Begun(Sound):
            def computed(self, case: Any) -> Any:
                raise TypeError("call() takes 3 positional arguments")

        text = str(check_adapter(Begun(), on_fail=None))
        assert text.count("TypeError: call() takes 3 positional arguments") == 1
        assert re.search(r"failed +trace-complete .*\(test_conformance.py:\d+ in computed\)", text)
        assert re.search(r"\n +and so trace-arrays, .*", text)
        text = str(check_adapter(zoo.NoTrace(), on_fail=None))
        assert text.count("run returned dict; return a gradparity.Trace") == 1
        assert "mismatch" not in text

    def test_where_there_is_no_adapter_asks_nothing_more(self) -> None:
        (result,) = check_adapter("nowhere", on_fail=None)
        assert (result.check, result.status) == ("protocol", "failed")
        assert "no adapter is called 'nowhere'" in result.message

    def test_warns_or_only_returns(self) -> None:
        with pytest.warns(UserWarning, match="'nobody' does not conform"):
            check_adapter(zoo.Unregistered(), on_fail="warn")
        seen: list[CheckResult] = []
        results = check_adapter(zoo.Unregistered(), on_fail=None, callback=seen.append)
        assert seen == results
        assert [r.check for r in results if not r.ok] == ["entry-point"]

    def test_an_expected_failure_is_one_with_its_reason(self) -> None:
        reasons = {"entry-point": "not installed here", "name": "wrongly expected"}
        results = check_adapter(zoo.Unregistered(), on_fail=None, expected_failed_checks=reasons)
        statuses = {r.check: r.status for r in results}
        assert statuses["entry-point"] == "xfail"
        assert statuses["name"] == "xpass"
        text = str(results)
        assert text.startswith("1 xpass, 1 xfail, 5 skipped, ")
        assert "passed, though it was expected to fail: take it out" in text
        assert "expected: not installed here" in text
        with pytest.raises(AssertionError, match="xpass   name"):
            check_adapter(zoo.Unregistered(), expected_failed_checks=reasons)
        assert check_adapter(
            zoo.Unregistered(), expected_failed_checks={"entry-point": "not installed here"}
        )

    def test_of_nothing_is_empty(self) -> None:
        assert str(CheckResults()) == ""

    @pytest.mark.parametrize(
        ("how", "why"),
        [
            ({"on_fail": "shout"}, "on_fail is 'shout'; give 'raise', 'warn' or None"),
            (
                {"expected_failed_checks": {"op-relo": "x"}},
                "names .'op-relo'., which are no checks",
            ),
            ({"expected_failed_checks": {"op-relu": " "}}, "say why"),
        ],
    )
    def test_a_wrong_question_is_refused(self, how: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            check_adapter(Sound(), **how)

    def test_an_adapter_that_is_not_there_fails_with_the_remedy(self) -> None:
        with pytest.raises(AssertionError, match=r"no adapter is called 'nowhere'; registered are"):
            checks("nowhere")["protocol"]()

    def test_what_the_adapter_raises_is_told_with_its_type(self) -> None:
        class Raising(Sound):
            def run(self, case: Any, **how: Any) -> Any:
                raise ZeroDivisionError("oh")

        with pytest.raises(AssertionError, match=r"raised ZeroDivisionError: oh .*AdapterError"):
            checks(Raising())["trace-complete"]()


FILE = """
import gradparity.core
from gradparity.adapters import AdapterError
from gradparity.testing import AdapterConformance
from broken_adapters import Sound, refusing

class WithoutGelu(refusing(gradparity.core.GELU())):
    pass

class TestMine(AdapterConformance):
    adapter = WithoutGelu
    expected_failed_checks = {expected}
"""


class TestTheClass:
    def _run(self, pytester: pytest.Pytester, expected: str, *options: str) -> Any:
        file = FILE.replace("{expected}", expected)
        pytester.syspathinsert(Path(__file__).parent)
        pytester.makepyfile(test_mine=file)
        names = "protocol or op-gelu or optional-vjp or entry-point"
        return pytester.runpytest(
            "-p", "no:cacheprovider", "-W", "error", "-rA", "-k", names, *options
        )

    def test_shows_every_check_as_a_test(self, pytester: pytest.Pytester) -> None:
        result = self._run(pytester, "{}")
        result.assert_outcomes(passed=2, failed=1, skipped=2)
        text = result.stdout.str()
        assert "FAILED test_mine.py::TestMine::test_conforms[entry-point]" in text
        assert "PASSED test_mine.py::TestMine::test_conforms[protocol]" in text
        assert "has no GELU" in text
        assert "optional, absent: vjp()" in text

    def test_takes_expected_failures_strictly(self, pytester: pytest.Pytester) -> None:
        known = "'entry-point': 'a class of a test'"
        self._run(pytester, f"{{{known}}}").assert_outcomes(passed=2, xfailed=1, skipped=2)
        result = self._run(pytester, f"{{{known}, 'protocol': 'hm'}}")
        result.assert_outcomes(passed=1, failed=1, xfailed=1, skipped=2)
        assert "[XPASS(strict)] hm" in result.stdout.str()

    def test_refuses_an_expected_failure_of_no_check(self, pytester: pytest.Pytester) -> None:
        result = self._run(pytester, "{'op-gelo': 'no erf'}")
        result.assert_outcomes(errors=1)
        assert "expected_failed_checks names ['op-gelo'], which are no checks" in (
            result.stdout.str()
        )

    def test_of_what_is_not_installed_is_one_that_is_skipped(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile("""
            from gradparity.testing import AdapterConformance

            class Absent:
                name = "absent"

                def __init__(self):
                    import a_framework_that_is_not_there

            class TestAbsent(AdapterConformance):
                adapter = Absent
                expected_failed_checks = {"op-gelu": "no erf"}

            class TestUnknown(AdapterConformance):
                adapter = "nowhere"

            def test_fixture(gradparity):
                gradparity.check_adapter(Absent)
        """)
        result = pytester.runpytest("-rA", "-p", "no:cacheprovider")
        result.assert_outcomes(skipped=2, failed=1)
        result.stdout.fnmatch_lines([
            "E * AssertionError: no adapter is called 'nowhere'; registered are *",
            "skipped in 2 tests: absent: Absent cannot be loaded (ModuleNotFoundError*",
            "FAILED *TestUnknown::test_conforms[[]protocol[]]*",
        ])  # fmt: skip

    def test_itself_is_no_test(self) -> None:
        assert AdapterConformance.__test__ is False

        class Mine(AdapterConformance):
            adapter = "mine"

        class Base(AdapterConformance):
            __test__ = False

        assert Mine.__test__ is True
        assert Base.__test__ is False


def test_the_names_of_the_checks_need_no_framework() -> None:
    assert set(NAMES) >= {f"op-{name}" for name in OPS} | {f"loss-{name}" for name in LOSSES}
    assert gradparity.__name__ in sys.modules
