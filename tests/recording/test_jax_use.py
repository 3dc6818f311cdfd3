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
        with pytest.warns(RuntimeWarning, match=r"none of it ran in 2 blocks; .*gp\.record"), guard:
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

    @pytest.mark.parametrize("block", ["gp.record()", "gp.guard()"])
    def test_a_block_without_torch(self, block: str) -> None:
        source = f"import jax, gradparity as gp\nwith {block}:\n    jax.grad(jax.numpy.sin)(1.0)"
        found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
        assert found.returncode == 1
        assert "which is not imported; import torch first; a step of JAX is" in found.stderr
