"""Why an op of a user's own is wrong: other gates, groups and variances, terms left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.explain import fits
from gradparity.comparisons.explain.alternatives import with_network
from gradparity.comparisons.measure.at_node import reference_at_node
from gradparity.comparisons.measure.levels import roundings
from gradparity.core import L2, Affine, Case, Op, SiLU, backprop, layered
from gradparity.core.vocabulary.activations import Mish
from gradparity.core.vocabulary.likelihoods import SigmoidFocal
from gradparity.core.vocabulary.normalisation import GroupNorm
from gradparity.core.vocabulary.pairs import Hypot
from gradparity.core.vocabulary.sequences import GRUCell

GRU, GROUPS = GRUCell(3, 4), GroupNorm(6, 2)

Function = Callable[..., Any]


def notes(forward: Function, backward: Function, op: Op, **kwargs: Any) -> dict[str, str]:
    """The note on every wrong quantity at random points in float64."""
    report = gp.check_op(forward, backward, reference=op, dtypes=["float64"], **kwargs)
    (run,) = (run for run in report.runs if run.case == "random_points")
    return {str(f.quantity): f.note for f in run.findings if f.parity is False}


def right(op: Op) -> tuple[Function, Function]:
    """The functions of the op itself."""
    return op.forward, lambda dz, *y: op.vjp(dz, y, op.forward(*y))


def on_other(op: Op, to: Function, back: Function) -> tuple[Function, Function]:
    """The functions of the op on other inputs, with the gradients by its own."""
    forward, backward = right(op)
    return lambda *y: forward(*to(*y)), lambda dz, *y: back(*backward(dz, *to(*y)))


def mish_parts(y: Any) -> tuple[Any, Any, Any]:
    h = np.tanh(np.logaddexp(0, y))
    return h, y * (1 - h * h), 1 / (1 + np.exp(-y))


class TestGates:
    def test_u_and_1_minus_u_are_exchanged(self) -> None:
        sign = np.repeat([1.0, -1.0, 1.0], 4)

        def changed(x: Any, h: Any, *p: Any) -> Any:
            return x, h, *(a * sign.astype(a.dtype) for a in p)

        found = notes(*on_other(GRU, changed, changed), GRU)
        assert len(found) == 7
        assert all(n.startswith("right with u and 1 - u exchanged") for n in found.values())

    @pytest.mark.sample(1)
    @pytest.mark.parametrize(("blocks", "gates"), [([1, 0, 2], "u, r, n"), ([2, 0, 1], "u, n, r")])
    def test_in_another_order(self, blocks: list[int], gates: str) -> None:
        order = np.concatenate([np.arange(4) + 4 * k for k in blocks])
        back = np.argsort(order)
        wrong = on_other(
            GRU,
            lambda x, h, *p: (x, h, *(a[..., order] for a in p)),
            lambda x, h, *p: (x, h, *(a[..., back] for a in p)),
        )
        said = f"right with its gates in the order {gates}, where the network has r, u, n"
        found = notes(*wrong, GRU)
        assert len(found) == 7
        assert all(n.startswith(said) for n in found.values())

    def test_a_gradient_in_place_of_another_is_no_exchange(self) -> None:
        forward, backward = right(GRU)

        def wrong(dz: Any, *y: Any) -> Any:
            *most, db, _ = backward(dz, *y)
            return (*most, db, db.copy())

        (note,) = notes(forward, wrong, GRU).values()
        assert "the gradient by b_z in place of its own" in note
        assert "exchanged" not in note

    def test_two_exchanged_gradients_are(self) -> None:
        forward, backward = right(GRU)

        def wrong(dz: Any, *y: Any) -> Any:
            *most, db, dc = backward(dz, *y)
            return (*most, dc, db)

        found = notes(forward, wrong, GRU)
        assert set(found) == {"grad b", "grad c"}
        assert all("exchanged" in note for note in found.values())


class TestGroups:
    def test_the_unbiased_variance(self) -> None:
        def normalised(x: Any) -> tuple[Any, Any, int]:
            grouped = x.reshape(len(x), 2, -1)
            n = grouped.shape[-1]
            c = grouped - grouped.mean(-1, keepdims=True)
            return c, 1 / np.sqrt((c * c).sum(-1, keepdims=True) / (n - 1) + 1e-5), n

        def forward(x: Any, g: Any, b: Any) -> Any:
            c, r, _ = normalised(x)
            return (c * r).reshape(x.shape) * g[:, None] + b[:, None]

        def backward(dz: Any, x: Any, g: Any, b: Any) -> Any:
            c, r, n = normalised(x)
            dh, h = (dz * g[:, None]).reshape(c.shape), c * r
            spread = h * (dh * h).sum(-1, keepdims=True) / (n - 1)
            dx = r * (dh - dh.mean(-1, keepdims=True) - spread)
            h = h.reshape(x.shape)
            return dx.reshape(x.shape), (dz * h).sum((0, 2)), dz.sum((0, 2))

        found = notes(forward, backward, GROUPS, shape=(6, 5))
        assert set(found) == {"value z", "grad y", "grad g"}
        said = "right with the variance divided by n - 1, not by n"
        assert all(n.startswith(said) for n in found.values())

    def test_interleaved_channels(self) -> None:
        order = np.arange(6).reshape(3, 2).T.ravel()
        back = np.argsort(order)
        forward, backward = on_other(
            GROUPS,
            lambda x, g, b: (x[:, order], g[order], b[order]),
            lambda x, g, b: (x[:, back], g[back], b[back]),
        )
        found = notes(
            lambda *y: forward(*y)[:, back],
            lambda dz, *y: backward(dz[:, order], *y),
            GROUPS,
            shape=(6, 5),
        )
        assert set(found) == {"value z", "grad y", "grad g"}
        said = "right with its groups interleaved along axis 1"
        assert all(n.startswith(said) for n in found.values())
        assert all("element c is in part c % 2, not in part c // 3" in n for n in found.values())


class TestTerms:
    @pytest.mark.sample(1)
    @pytest.mark.parametrize(
        ("slope", "words"),
        [
            (lambda h, rest, s: h, "a term of the derivative left out"),
            (lambda h, rest, s: rest * s, "a term of the derivative left out"),
            (lambda h, rest, s: h + rest, "a factor of the derivative left out"),
        ],
    )
    def test_of_the_derivative_of_mish(self, slope: Function, words: str) -> None:
        found = notes(Mish().f, lambda dz, y: dz * slope(*mish_parts(y)), Mish())
        assert list(found) == ["grad y"]
        assert found["grad y"].startswith(f"exactly what this mistake gives: {words}")

    def test_a_slope_that_is_no_part_of_it(self) -> None:
        found = notes(Mish().f, lambda dz, y: dz * np.cos(y), Mish())
        assert "left out" not in found["grad y"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("alpha", [0.25, 0.4])
def test_1_minus_alpha_in_place_of_alpha(alpha: float, whole: bool) -> None:
    case = Case.random(layered([Affine(4, 3)], SigmoidFocal(alpha=alpha)), batch=8)

    def mine(case: Case) -> Any:
        trace = backprop(with_network(case, SigmoidFocal(alpha=1 - alpha)))
        if not whole:
            return trace
        return {"Err": trace.Err, **{f"grad {name}": trace.grad[name] for name in ("W1", "b1")}}

    said = " ".join(gp.check(case, mine, dtypes=["float64"]).diagnosis().split())
    assert f"right with alpha = {1 - alpha}, where the network has alpha = {alpha}" in said
    assert "1 - alpha in place of alpha" in said


def test_underflow_is_not_a_coarser_format() -> None:
    def radius(a: Any, b: Any) -> Any:
        return np.sqrt(a * a + b * b)

    def backward(dz: Any, a: Any, b: Any) -> Any:
        r = radius(a, b)
        r = np.where(r == 0, 1, r)
        return dz * a / r, dz * b / r

    report = gp.check_op(radius, backward, reference=Hypot(), dtypes=["float32"])
    bad = [f for run in report.runs for f in run.findings if f.parity is False]
    assert bad
    assert all("on the way to it overflows or underflows" in f.note for f in bad)
    assert not any("float16" in f.note for f in bad)


def test_what_has_no_explanation_costs_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are tried in plain arithmetic: only what is near is confirmed in its bound."""
    case = Case.random(layered([SiLU(), Affine(4, 3)], L2()), batch=8, width=4)
    trace, step = backprop(case), case.network.steps[0]
    trace.value[step.name] = trace.value[step.name] + 0.01 * np.sin(case.x)
    e, *_ = reference_at_node(step, case, trace, roundings(case.precision)[-1])
    calls: list[Any] = []
    monkeypatch.setattr(fits, "reference_at_node", lambda *args: calls.append(args))
    assert fits.fitted(step, e.quantity, case, trace, e) is None
    assert not calls
