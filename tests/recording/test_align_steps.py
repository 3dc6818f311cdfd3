"""`align_steps`: right twins stay together, and the step at which others part is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Report, Verdict

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

Make = Callable[[], Any]
RNG = np.random.default_rng(0)
START = {
    "0.weight": RNG.standard_normal((16, 5)) / 2,
    "0.bias": np.zeros(16),
    "1.weight": np.ones(16),
    "1.bias": np.zeros(16),
    "3.weight": RNG.standard_normal((3, 16)) / 4,
    "3.bias": np.zeros(3),
}
STATS = {"1.running_mean": np.zeros(16), "1.running_var": np.ones(16)}
X, Y = RNG.standard_normal((20, 12, 5)), RNG.integers(0, 3, (20, 12))


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def of_torch(
    make: Callable[[Any], Any] = lambda ps: torch.optim.Adam(ps, lr=0.01),
    dtype: Any = torch.float64,
    record: bool = False,
) -> Make:
    def start() -> Any:
        nn = torch.nn
        layers = nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        model = nn.Sequential(*layers).to(dtype)
        model.load_state_dict({n: torch.tensor(a) for n, a in START.items()}, strict=False)
        optimizer = make(model.parameters())

        def values() -> dict[str, Any]:
            return {n: a for n, a in model.state_dict().items() if "num_batches" not in n}

        def loss_of() -> Any:
            x, y = torch.tensor(X[at], dtype=dtype), torch.tensor(Y[at])
            return nn.functional.cross_entropy(model(x), y)

        at = 0

        def step(t: int, given: Mapping[str, Any] | None) -> Any:
            nonlocal at
            at = t - 1
            if given is not None:
                tensors = {n: torch.tensor(a) for n, a in given.items()}
                model.load_state_dict(tensors, strict=False)
            optimizer.zero_grad()
            if record:
                kept = gp.record(loss_of, name="torch", keep=True)
            loss = loss_of()
            loss.backward()
            optimizer.step()
            return (loss, values(), kept) if record else (loss, values())

        return values(), step

    return start


def of_jax(
    made: Any = None,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    order: Callable[[int], int] = lambda t: t,
    relu: Callable[[Any], Any] = jax.nn.relu,
    turned: bool = False,
    record: bool = False,
    dtype: Any = np.float64,
) -> Make:
    made = made or optax.adam(0.01)

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        z = x @ (p["0.weight"] if turned else p["0.weight"].T) + p["0.bias"]
        mean, var = z.mean(0), z.var(0)
        h = (z - mean) / jnp.sqrt(var + eps) * p["1.weight"] + p["1.bias"]
        logits = relu(h) @ p["3.weight"].T + p["3.bias"]
        loss = -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y].mean()
        return loss, (mean, var * len(y) / (len(y) - 1))

    grad = jax.jit(jax.value_and_grad(loss_of, has_aux=True))

    def start() -> Any:
        first = {n: a.astype(dtype) for n, a in START.items()}
        if turned:
            first["0.weight"] = first["0.weight"].T
        params = {n: jnp.asarray(a) for n, a in first.items()}
        stats = {n: jnp.asarray(a.astype(dtype)) for n, a in STATS.items()}
        state = made.init(params)

        def step(t: int, given: Mapping[str, Any] | None) -> Any:
            nonlocal params, stats, state
            if given is not None:
                params = {n: jnp.asarray(given[n]) for n in params}
                stats = {n: jnp.asarray(given.get(n, a)) for n, a in stats.items()}
            batch = jnp.asarray(X[order(t) - 1].astype(dtype)), jnp.asarray(Y[order(t) - 1])
            kept = ()
            if record:
                one = gp.record(lambda p: loss_of(p, *batch)[0], params, name="jax", keep=True)
                kept = (one,)
            (loss, (mean, var)), g = grad(params, *batch)
            changes, state = made.update(g, state, params)
            params = optax.apply_updates(params, changes)
            stats = {
                "1.running_mean": (1 - momentum) * stats["1.running_mean"] + momentum * mean,
                "1.running_var": (1 - momentum) * stats["1.running_var"] + momentum * var,
            }
            return (loss, {**params, **stats}, *kept)

        return {**params, **stats}, step

    return start


def wrong(report: Report) -> list[Finding]:
    return [f for f in report.runs[0].findings if f.parity is False]


def parted_at(report: Report) -> int:
    assert report.exit_code == 1
    return int(wrong(report)[0].note.partition("at step ")[2].partition(":")[0])


# ---- right twins --------------------------------------------------------------------------------


def test_twenty_steps_of_adam_in_pytorch_and_jax_stay_together() -> None:
    report = gp.align_steps(of_torch(), of_jax())
    assert report.exit_code == 0, str(report)
    assert "the two are the same for 20 steps" in str(report)
    found = report.runs[0].findings
    assert {f.node for f in found} == {"loss", *START, *STATS}
    tested = {f.node for f in found if f.verdict is Verdict.ROUNDING}
    assert tested >= {"loss", "3.weight", "3.bias", "1.running_var"}


RIGHT = [
    ("SGD", lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9), optax.sgd(0.1, 0.9)),
    (
        "AdamW",
        lambda ps: torch.optim.AdamW(ps, lr=0.01, weight_decay=0.1),
        optax.adamw(0.01, weight_decay=0.1),
    ),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize(("here", "there"), [r[1:] for r in RIGHT], ids=[r[0] for r in RIGHT])
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_right_optimizers_stay_together(here: Any, there: Any, single: bool) -> None:
    one = of_torch(here, torch.float32 if single else torch.float64)
    other = of_jax(there, dtype=np.float32 if single else np.float64)
    assert gp.align_steps(one, other).exit_code == 0


def test_parameters_in_another_layout_are_compared_along_a_map() -> None:
    def loss(p: Any, turned: bool) -> Any:
        z = jnp.tanh(X[0] @ (p["0.weight"] if turned else p["0.weight"].T))
        return (jnp.tanh(z * p["1.weight"] + p["0.bias"]) @ p["3.weight"].T + p["3.bias"]).sum()

    made = []
    for turned in (False, True):
        p = {n: jnp.asarray(a) for n, a in START.items() if n != "1.bias"}
        p["0.weight"] = p["0.weight"].T if turned else p["0.weight"]
        made.append(gp.record(loss, p, turned, keep=True))
    mapping = gp.map_parameters(*made)
    assert "1.bias" not in str(mapping)
    report = gp.align_steps(of_torch(), of_jax(turned=True), parameters=mapping, steps=5)
    assert report.exit_code == 0, str(report)
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(16, 5\).*give parameters="):
        gp.align_steps(of_torch(), of_jax(turned=True), steps=5)


def at_a_kink(first: float, shift: float) -> Make:
    """A weight that falls to a kink at 0, where it arrives with another rounding."""

    def start() -> Any:
        w = np.array([first, 1.0])

        def step(t: int, given: Mapping[str, Any] | None) -> Any:
            nonlocal w
            if given is not None:
                w = given["w"]
            slope = 1.0 if w[0] > 0 else 0.1
            loss = slope * w[0] + w[1] ** 2
            w = np.array([(w[0] + shift) - (0.05 * slope + shift), 0.9 * w[1]])
            return loss, {"w": w}

        return {"w": w}, step

    return start


@pytest.mark.parametrize("first", [0.4, 0.5])
def test_a_kink_that_parts_two_right_programs_is_not_accused(first: float) -> None:
    report = gp.align_steps(at_a_kink(first, 0.0), at_a_kink(first, 0.5))
    assert report.exit_code == 0
    step = round(first / 0.05) + 1
    assert f"from their own they part at step {step}, as where a kink" in report.runs[0].about


def test_a_step_that_loses_a_few_digits_is_not_accused_either() -> None:
    report = gp.align_steps(at_a_kink(0.5, 0.0), at_a_kink(0.5, 30.0))
    assert report.exit_code == 2
    assert "a fault or a form that loses digits" in report.runs[0].about


# ---- planted faults -----------------------------------------------------------------------------


def late(step: int, right: Any, fault: Any) -> Any:
    """A transformation that is another one from a step on."""
    counted = optax.scale_by_schedule(lambda n: jnp.where(n + 1 >= step, fault, right))
    return optax.chain(optax.scale_by_adam(), counted, optax.scale(-1.0))


def no_correction() -> Any:
    def update(g: Any, state: Any, params: Any = None) -> Any:
        changes, state = inner.update(g, state, params)
        t = state[0].count
        ahead = (1 - 0.9**t) / (1 - 0.9 ** (t + 1))  # the number of the step is one off
        return jax.tree.map(lambda c: c * ahead, changes), state

    inner = optax.adam(0.01)
    return optax.GradientTransformation(inner.init, update)


def decayed(decay: float) -> Any:
    return optax.chain(optax.add_decayed_weights(decay), optax.adam(0.01))


ADAMW = of_torch(lambda ps: torch.optim.AdamW(ps, lr=0.01, weight_decay=0.1))
PLANTED: list[tuple[str, Make, Make, int, str, str]] = [
    ("eps", of_torch(), of_jax(optax.adam(0.01, eps=1e-7)), 1, "0.weight", "it differs by up to"),
    ("no decay", ADAMW, of_jax(), 1, "0.weight", "it moves by 0.001 times itself more there"),
    ("correction one off", of_torch(), of_jax(no_correction()), 1, "0.weight", "it moves 0.526"),
    (
        "momentum of the batch norm",
        of_torch(),
        of_jax(momentum=0.9),
        1,
        "1.running_mean",
        "it moves 9 times as far there, as with another learning rate or momentum",
    ),
    ("rate from step 4", of_torch(), of_jax(late(4, 0.01, 0.02)), 4, "0.weight", "it moves 2 "),
    (
        "order of the data",
        of_torch(),
        of_jax(order=lambda t: {3: 4, 4: 3}.get(t, t)),
        3,
        "loss",
        "it is the loss of step 4 there: the data come in another order",
    ),
    ("eps of the norm", of_torch(), of_jax(eps=1e-6), 1, "loss", "it is 1."),
    ("another activation", of_torch(), of_jax(relu=jax.nn.gelu), 1, "loss", "it is 1."),
]


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    ("one", "other", "step", "name", "words"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED]
)
def test_the_step_and_the_place_of_a_planted_fault_are_named(
    one: Make, other: Make, step: int, name: str, words: str
) -> None:
    report = gp.align_steps(one, other, steps=8)
    assert parted_at(report) == step
    found = {f.node: f for f in wrong(report)}
    assert found[name].note.startswith(f"at step {step}: {words}"), found[name].note
    if name == "1.running_mean":
        assert {*found} == {"1.running_mean", "1.running_var"}
    if name == "loss":
        assert all(f.follows == "value loss" for n, f in found.items() if n != "loss")
    else:
        assert "loss" not in found


def test_what_align_says_of_the_step_is_part_of_the_report() -> None:
    one, other = of_torch(record=True), of_jax(relu=jax.nn.gelu, record=True)
    report = gp.align_steps(one, other, steps=2)
    assert report.exit_code == 1
    assert "Relu" in report.runs[0].about or "relu" in report.runs[0].about
    assert len(report.runs) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_lost_in_both_is_unknown(value: float) -> None:
    def make(at: int) -> Any:
        def begin() -> Any:
            w = np.ones(3)

            def step(t: int, given: Any) -> Any:
                w[:] = (w if given is None else given["w"]) * 0.9
                return (value if t == at else w.sum()), {"w": w.copy()}

            return {"w": w}, step

        return begin

    report = gp.align_steps(make(3), make(3), steps=4)
    assert report.exit_code == 2
    assert "at step 3, 'loss' is not a finite number in both" in report.runs[0].about
    assert gp.align_steps(make(3), make(4), steps=4).exit_code == 1
    assert gp.align_steps(make(0), make(0), steps=4).exit_code == 0


def test_another_start_is_told() -> None:
    def other() -> Any:
        values, step = of_jax()()
        return {**values, "3.bias": values["3.bias"] + 1e-9}, step

    report = gp.align_steps(of_torch(), other)
    assert report.exit_code == 1
    assert [f.node for f in wrong(report)] == ["3.bias"]
    assert "the two start from other numbers" in str(report)


def test_errors_name_what_was_given() -> None:
    right = at_a_kink(0.3, 0.0)
    with pytest.raises(TypeError, match="one is 3; give a function"):
        gp.align_steps(3, right)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"one returned 3; return \(parameters, step\)"):
        gp.align_steps(lambda: 3, right)
    with pytest.raises(ValueError, match="steps is 0; give 1 or more"):
        gp.align_steps(right, right, steps=0)
    with pytest.raises(TypeError, match="the parameters of one are 3; give a dictionary"):
        gp.align_steps(lambda: (3, print), right)
    with pytest.raises(TypeError, match="'w' of one is 'x'; give numbers"):
        gp.align_steps(lambda: ({"w": "x"}, print), right)
    with pytest.raises(TypeError, match=r"step 1 of other returned None; return \(loss, param"):
        gp.align_steps(right, lambda: ({"w": np.array([0.3, 1.0])}, lambda t, given: None))
    with pytest.raises(ValueError, match="'w', 'v' is in one program alone"):
        gp.align_steps(right, lambda: ({"v": np.ones(2)}, print))
    with pytest.raises(ValueError, match="one has no parameter 'u'"):
        gp.align_steps(right, right, parameters={"u": "w"})
    with pytest.raises(TypeError, match="parameters is 3; give a mapping"):
        gp.align_steps(right, right, parameters=3)  # type: ignore[arg-type]
