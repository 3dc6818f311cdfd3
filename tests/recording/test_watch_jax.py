"""`gradparity watch` of JAX scripts, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytest.importorskip("jax")

MODEL = """
import jax
import jax.numpy as jnp

params = {"w": jnp.linspace(-0.5, 0.7, 12).reshape(4, 3), "b": jnp.zeros(3)}
x = jnp.cos(jnp.arange(20.0)).reshape(5, 4)
labels = jnp.array([0, 2, 1, 1, 0])

def loss(params, x, labels):
    logits = jnp.tanh(x @ params["w"] + params["b"])
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

def update(params, gradient):
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
"""

PLAIN = (
    MODEL
    + """
for i in range(3):
    params = update(params, jax.grad(loss)(params, x, labels))
    print(i, float(params["w"].sum()))
"""
)

RIGHT = {
    "plain": PLAIN,
    "jit": MODEL + """
@jax.jit
def step(params, key):
    noise = jax.random.normal(key, x.shape)
    def noisy(params, *, labels):
        value = loss(params, x + 0.1 * noise, labels)
        return value, {"value": value}
    (value, aux), gradient = jax.value_and_grad(noisy, has_aux=True)(params, labels=labels)
    return aux["value"], update(params, gradient)

for i in range(3):
    value, params = step(params, jax.random.key(i))
    print(i, float(value))
""",
    "loop in jit": MODEL + """
import optax

optimizer = optax.adam(0.1)

@jax.jit
def train(params, state):
    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, x, labels)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value
    return jax.lax.scan(step, (params, state), None, length=5)

(params, state), values = train(params, optimizer.init(params))
print(values.shape, float(params["b"].sum()))
""",
    "per example": MODEL + """
def one(params, row, label):
    return loss(params, row[None], label[None])

each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(params, x, labels)
print({name: g.shape for name, g in each.items()})
""",
    "per example, closed over": MODEL + """
def gradient(row, label):
    return jax.grad(lambda params: loss(params, row[None], label[None]))(params)

print(jax.vmap(gradient)(x, labels)["b"])
""",
    "static and donated": MODEL + """
from functools import partial

@partial(jax.jit, static_argnums=1, donate_argnums=0)
def step(params, n, x):
    def deep(params, n, mode, x):
        assert mode == "train"
        for _ in range(n):
            x = jnp.tanh(x)
        return loss(params, x, labels)
    value, (gradient, by_x) = jax.value_and_grad(deep, (0, -1))(params, n, "train", x)
    return value, update(params, gradient), by_x

for _ in range(2):
    value, params, by_x = step(params, 2, x)
    print(value, by_x.sum())
""",
    "ahead of time": MODEL + """
jax.config.update("jax_enable_x64", True)
gradient = jax.grad(fun=loss)
print(jax.eval_shape(gradient, params, x, labels)["b"].shape)
print(jax.jit(gradient).lower(params, x, labels).compile()(params, x, labels)["b"])
""",
    "of a gradient": MODEL + """
def after_a_step(params):
    return loss(update(params, jax.grad(loss)(params, x, labels)), x + 1, labels)

print(jax.grad(after_a_step)(params)["b"])
""",
}  # fmt: skip

RIGHT |= {
    f"once per call, {how}": MODEL + f"""
from collections import deque

class Once:
    def __init__(self):
        self.parts = deque([labels])

    def __call__(self, params, x):
        print("called")
        return loss(params, x, self.parts.popleft())

def gradient(params, x):
    return jax.grad(Once())(params, x)

print({call}(params, x)["b"])
"""
    for how, call in [("plain", "gradient"), ("jit", "jax.jit(gradient)")]
}  # fmt: skip

#: It cannot be traced, and its first call has used up what it holds.
UNTRACEABLE = (
    MODEL
    + """
def once():
    parts = [labels]
    def loss_of(params):
        found = loss(params, x, parts.pop())
        print("called")
        return found if found > 0 else -found
    return loss_of

print(jax.grad(once())(params)["b"].shape)
"""
)

WRONG = MODEL + """
@jax.custom_vjp
def cube(x):
    return x ** 3

cube.defvjp(lambda x: (x ** 3, x), lambda x, d: (FACTOR * x ** 2 * d,))

@jax.jit
def step(params):
    def cubed(params):
        return loss(params, cube(x @ params["w"]) @ params["w"].T, labels)
    return jax.grad(cubed)(params)

print(step(params)["b"].shape)
print("done")
"""  # fmt: skip


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def watch(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(dedent(source), encoding="utf-8")
    arguments = ("--json", "found.json", *options, "script.py")
    return python(folder, "-m", "gradparity.cli", "watch", *arguments)


def found_in(folder: Path) -> Any:
    (run,) = json.loads((folder / "found.json").read_text())["runs"]
    return run


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "name",
    [
        n if n in ("jit", "once per call, plain") else pytest.param(n, marks=pytest.mark.slow)
        for n in RIGHT
    ],
)
def test_a_right_script_exits_with_0_and_its_output_is_its_own(name: str, tmp_path: Path) -> None:
    if name == "loop in jit":
        pytest.importorskip("optax")
    found = watch(tmp_path, RIGHT[name])
    plain = python(tmp_path, "script.py")
    assert plain.returncode == 0, plain.stderr
    assert found.returncode == 0, found.stderr
    assert found.stdout == plain.stdout != ""
    assert found.stderr.count("nodes judged") == 1
    run = found_in(tmp_path)
    assert (run["case"], run["adapter"]) == ("script.py", "jax")
    quantities = [f["quantity"] for f in run["findings"]]
    assert all(any(q.startswith(f"grad {n}") for q in quantities) for n in ("w", "b"))
    assert any(f["source"].startswith("script.py:") for f in run["findings"])


@pytest.mark.parametrize("factor", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_function_with_its_own_derivative(factor: int, tmp_path: Path) -> None:
    found = watch(tmp_path, WRONG.replace("FACTOR", str(factor)))
    assert (found.returncode, found.stdout) == (3 - factor, "(3,)\ndone\n"), found.stderr
    wrong = {f["node"] for f in found_in(tmp_path)["findings"] if f["verdict"] == "mismatch"}
    assert wrong == ({"cube_1"} if factor == 2 else set())


@pytest.mark.slow
@pytest.mark.parametrize("jit", [True, False])
def test_the_step_that_is_asked_for(jit: bool, tmp_path: Path) -> None:
    """The second of three calls has a loss of its own, which only its values show."""
    source = (
        MODEL
        + f"""
gradient = jax.value_and_grad(lambda b, x: (b * x).sum())
gradient = jax.jit(gradient) if {jit} else gradient
for i in range(3):
    print(float(gradient(params["b"] + i, 1.0 + i)[0]))
"""
    )
    found = watch(tmp_path, source, "--step", "2")
    assert (found.returncode, found.stdout) == (0, "0.0\n6.0\n18.0\n"), found.stderr
    run = found_in(tmp_path)
    assert run["case"] == "script.py, step 2"
    few = watch(tmp_path, source, "--step", "9")
    assert few.returncode == 2
    assert "after 3 of 9 backward passes" in few.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "jit"])
def test_stop_ends_the_script_in_an_orderly_way(name: str, tmp_path: Path) -> None:
    source = f"""
import time
try:
    exec({RIGHT[name]!r})
    for _ in range(600):
        time.sleep(0.1)
finally:
    print("cleaned up")
"""
    found = watch(tmp_path, source, "--stop")
    assert found.returncode == 0, found.stderr
    assert found.stdout.endswith("cleaned up\n")
    assert "PARITY" in found.stderr


@pytest.mark.slow
def test_a_script_that_ends_before_its_verdict_keeps_the_exit_code(tmp_path: Path) -> None:
    found = watch(tmp_path, WRONG.replace("FACTOR", "2"), "--stop")
    assert found.returncode == 1, found.stderr


@pytest.mark.slow
class TestNothingJudged:
    def test_without_a_call(self, tmp_path: Path) -> None:
        found = watch(tmp_path, MODEL + "print(float(loss(params, x, labels)) > 0)")
        assert (found.returncode, found.stdout) == (2, "True\n")
        assert "ended without a backward pass" in found.stderr

    def test_what_cannot_be_traced_is_an_error_of_the_watch_alone(self, tmp_path: Path) -> None:
        source = """
def branches(x):
    return (x if x > 0 else -x) * 2
print(float(jax.grad(branches)(3.0)))
"""
        found = watch(tmp_path, MODEL + source)
        assert (found.returncode, found.stdout) == (2, "2.0\n"), found.stderr
        assert "no report" in found.stderr

    def test_the_script_goes_on_with_what_its_function_held(self, tmp_path: Path) -> None:
        found = watch(tmp_path, UNTRACEABLE)
        assert (found.returncode, found.stdout) == (2, "called\n(3,)\n"), found.stderr
        assert "no report" in found.stderr

    def test_that_of_the_script_wins(self, tmp_path: Path) -> None:
        found = watch(tmp_path, PLAIN + "raise SystemExit(3)")
        assert found.returncode == 3

    def test_jax_is_as_it_was_when_the_script_raises(self, tmp_path: Path) -> None:
        source = """
import atexit

def followed():
    print("differentiated" in jax.grad.__code__.co_filename)

atexit.register(followed)
followed()
raise RuntimeError("its own")
"""
        found = watch(tmp_path, MODEL + source)
        assert (found.returncode, found.stdout) == (1, "True\nFalse\n")
        assert "RuntimeError: its own" in found.stderr
        assert "differentiated.py" not in found.stderr

    def test_a_call_that_raises_does_not_count(self, tmp_path: Path) -> None:
        source = """
try:
    jax.grad(lambda x: x)(x)
except TypeError as error:
    print(type(error).__name__)
"""
        found = watch(tmp_path, MODEL + source + PLAIN.partition(MODEL)[2])
        assert found.returncode == 0, found.stderr
        assert found.stdout.startswith("TypeError\n0 ")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["torch", "jax"])
def test_of_two_frameworks_the_first_backward_pass_is_judged(first: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    passes = {
        "torch": "torch.ones(3, requires_grad=True).exp().sum().backward()\n",
        "jax": "jax.grad(loss)(params, x, labels)\n",
    }
    other = "jax" if first == "torch" else "torch"
    found = watch(tmp_path, MODEL + "import torch\n" + passes[first] + passes[other])
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("nodes judged") == 1
    assert found_in(tmp_path)["adapter"] == first


@pytest.mark.slow
def test_afterwards_jax_is_as_it_was(tmp_path: Path) -> None:
    source = """
made = jax.grad(loss)
for _ in range(2):
    print(["differentiated" in f.__code__.co_filename for f in (jax.grad, jax.value_and_grad)])
    made(params, x, labels)
"""
    found = watch(tmp_path, MODEL + source)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "[True, True]\n[False, False]\n"


def test_options_that_are_for_pytorch_alone_are_named(tmp_path: Path) -> None:
    found = watch(tmp_path, PLAIN, "--step", "2", "--passes", "2", "--sample", "3")
    assert found.returncode == 0
    assert found.stderr.count("--passes and --sample are for PyTorch") == 1
    found = watch(tmp_path, PLAIN, "--sample", "3")
    assert found.stderr.count("--sample is for PyTorch") == 1
    assert "for PyTorch" not in watch(tmp_path, PLAIN).stderr
