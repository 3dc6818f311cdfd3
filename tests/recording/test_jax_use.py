"""How JAX recordings are asked for: floats, blocks, guards, and arguments that do not fit."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402


@pytest.fixture(params=["torch", ""])
def torch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch imported, and without."""
    if request.param:
        pytest.importorskip("torch")
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("torch")
class TestFloats:
    @pytest.mark.parametrize("w", [3.0, [2.0, 3.0], {"a": 3.0}, (2.0, [1.0])])
    def test_python_floats_are_taken_as_by_jax(self, w: Any) -> None:
        def f(w: Any) -> Any:
            return sum(x * jnp.sin(x) for x in jax.tree.leaves(w))

        report = gp.check(gp.record(f, w))
        assert report.exit_code == 0
        assert len(report.runs[0].findings) > 2 * len(jax.tree.leaves(w))

    def test_without_any_function_of_jax(self) -> None:
        assert gp.check(gp.record(lambda w: w * w, 3.0)).exit_code == 0

    def test_with_options_that_are_for_jax(self) -> None:
        seen = gp.record(lambda v, w: (v * jnp.exp(w), w), 3.0, 2.0, argnums=(0, 1), has_aux=True)
        assert gp.check(seen).exit_code == 0


def test_floats_of_a_function_of_torch() -> None:
    torch = pytest.importorskip("torch")
    w = torch.ones(3, requires_grad=True)
    assert gp.check(gp.record(lambda c: (c * w).exp().sum(), 2.0)).runs[0].adapter == "torch"


def test_a_scan_of_no_steps_that_closes_over_a_value() -> None:
    def f(w: Any) -> Any:
        return jax.lax.scan(lambda c, _: (c * w, None), jnp.exp(w), None, 0)[0].sum()

    report = gp.check(gp.record(f, jnp.arange(3.0)))
    assert report.exit_code == 0


class TestWords:
    def test_a_function_without_arguments(self) -> None:
        pytest.importorskip("torch")
        with pytest.raises(TypeError, match=r"give f the arrays .*: gp\.record\(f, \*args\)"):
            gp.record(lambda: jnp.ones(3).sum())

    def test_a_block(self) -> None:
        pytest.importorskip("torch")
        with pytest.raises(RuntimeError, match=r"gp\.record\(loss, params, batch\)"), gp.record():
            jax.grad(jnp.sin)(1.0)

    def test_a_guard_of_a_block_without_torch(self) -> None:
        pytest.importorskip("torch")
        guard = gp.guard(every=1)
        with guard:
            jax.grad(jnp.sin)(1.0)
        with pytest.warns(RuntimeWarning, match=r"in 2 blocks; .*guard\.record"), guard:
            jax.grad(jnp.sin)(1.0)

    def test_a_guard_lets_the_error_of_its_block_through(self) -> None:
        pytest.importorskip("torch")
        with pytest.raises(OSError, match="its own"), gp.guard(every=1):
            raise OSError("its own")

    def test_a_guard_waits_for_a_backward_pass_of_torch(self) -> None:
        torch = pytest.importorskip("torch")
        guard = gp.guard(every=1)
        with guard:
            torch.ones(3).exp()
        assert guard.judged == 0

    @pytest.mark.sample(1)
    @pytest.mark.parametrize("block", ["gp.record()", "gp.guard()"])
    def test_a_block_without_torch(self, block: str) -> None:
        source = f"import jax, gradparity as gp\nwith {block}:\n    jax.grad(jax.numpy.sin)(1.0)"
        found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
        assert found.returncode == 1
        assert "which is not imported; import torch first; " in found.stderr
        assert "record(loss, params, batch)" in found.stderr


@jax.custom_jvp
def halved(x: Any) -> Any:
    return x * x


@halved.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return halved(x), x * dx  # 2 x dx is right


class TestGuard:
    @staticmethod
    def run(guard: gp.Guard, steps: int, wrong: int = 10**9) -> list[int]:
        """Train, and give the steps in which the guard called the loss."""
        called: list[int] = []

        def loss(w: Any, x: Any) -> Any:
            called.append(step)
            return (halved if step >= wrong else jnp.square)(w * x).sum()

        w = jnp.ones(3)
        for step in range(1, steps + 1):
            guard.record(loss, w, jnp.arange(3.0) + step)
            w = w * 0.9
        return list(dict.fromkeys(called))

    def test_it_judges_the_first_step_and_every_nth(self) -> None:
        guard = gp.guard(every=3)
        assert self.run(guard, 7) == [1, 3, 6]
        assert list(guard.reports) == [1, 3, 6]
        assert all(guard.reports.values())
        assert guard.reports[3].runs[0].case == "step 3"
        assert repr(guard) == "<Guard 'step': 3 of 7 steps judged>"

    def test_a_wrong_gradient_raises(self) -> None:
        guard = gp.guard(every=3)
        with pytest.raises(gp.GradientError, match="step 6: mismatch") as raised:
            self.run(guard, 9, wrong=4)
        assert raised.value.report is guard.reports[6]

    def test_or_warns_at_the_line_of_the_user(self) -> None:
        guard = gp.guard(every=2, first=False, on_fault="warn")
        with pytest.warns(RuntimeWarning, match="step 2: mismatch") as warned:
            self.run(guard, 2, wrong=1)
        assert warned[0].filename == __file__

    def test_auxiliary_results_and_other_arguments(self) -> None:
        guard = gp.guard()
        guard.record(lambda n, w: (jnp.exp(w) * n, w), 2, 1.5, argnums=1, has_aux=True)
        assert guard.judged == 1

    def test_a_function_that_cannot_be_recorded_is_refused(self) -> None:
        with pytest.raises(TypeError, match="scalar"):
            gp.guard().record(lambda w: w * 2, jnp.ones(3))

    def test_not_inside_of_its_block(self) -> None:
        pytest.importorskip("torch")
        guard = gp.guard()
        with guard, pytest.raises(RuntimeError, match="one of the two"):
            guard.record(jnp.sin, 1.0)


class Dense:
    def __init__(self, w: Any) -> None:
        self.w = w

    def __call__(self, x: Any) -> Any:
        return jnp.tanh(x @ self.w)


class _Wrapped(Dense):
    """A private class, such as a wrapper of a library."""

    def __call__(self, x: Any) -> Any:
        return jnp.sinh(x)


class Net:
    def __init__(self, w: Any, scope: str = "") -> None:
        self.dense, self.wrapped, self.scope = Dense(w), _Wrapped(w), scope

    def __call__(self, x: Any) -> Any:
        with jax.named_scope(self.scope or "Net"):
            return jnp.exp(self.wrapped(self.dense(x)))


class TestModules:
    """The module of a node: the name scopes of a library, or the classes that were called."""

    @staticmethod
    def modules(scope: str = "") -> list[str]:
        x = jnp.ones((2, 3))
        step = gp.record(lambda w: Net(w, scope)(x).sum(), jnp.eye(3))
        return [place.module for place in step.places.values()]

    def test_classes(self) -> None:
        assert self.modules() == ["Net.Dense", "Net.Dense", "Net", "Net", ""]

    def test_longer_scopes(self) -> None:
        assert self.modules("a/b/c")[:2] == ["a.b.c"] * 2
