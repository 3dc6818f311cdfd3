"""Optax's losses: as ops of the vocabulary or a few of them, in values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.core import Case, LinearLoss, Network, Node, backprop
from gradparity.core.network.composed import Composed

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy
FOLDER = Path(gp.__file__).parent / "adapters" / "jax"


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


RNG = np.random.default_rng(0)
Y = RNG.standard_normal((6, 4))
LABELS = RNG.integers(0, 4, 6)
ONE_HOT = np.eye(4)[LABELS]
SIGNS = RNG.choice([-1.0, 1.0], (6, 4))
P = np.exp(Y[::-1]) / np.exp(Y[::-1]).sum(1, keepdims=True)
L = optax.losses

#: Optax's function of an output -> the divergence and its targets.
DIVERGENCES: dict[str, tuple[Callable[[Any], Any], Any, np.ndarray]] = {
    "squared_error": (lambda y: L.squared_error(y, P).sum(-1), ops.SquaredError(), P),
    "l2_loss": (lambda y: L.l2_loss(y, P).sum(-1), ops.L2(), P),
    "cosine_distance": (lambda y: L.cosine_distance(y, P), ops.CosineDistance(), P),
    "perceptron_loss": (
        lambda y: L.perceptron_loss(y, SIGNS).sum(-1), ops.MarginRanking(0.0), SIGNS,
    ),
    "poly_loss_cross_entropy": (
        lambda y: L.poly_loss_cross_entropy(y, ONE_HOT), ops.PolyCrossEntropy(2.0), ONE_HOT,
    ),
    "poly_loss of probabilities": (
        lambda y: L.poly_loss_cross_entropy(y, P, epsilon=-0.5), ops.PolyCrossEntropy(-0.5), P,
    ),
    "generalized_kl_divergence": (
        lambda y: L.generalized_kl_divergence(y, P), ops.GeneralizedKL(), P,
    ),
    "safe_softmax_cross_entropy": (
        lambda y: L.safe_softmax_cross_entropy(y, P), ops.CrossEntropy(), P,
    ),
}  # fmt: skip


def same(name: str, ours: Any, gradient: Any, loss: Callable[[Any], Any], y: Any = Y) -> None:
    np.testing.assert_allclose(ours, loss(jnp.asarray(y)), rtol=1e-12, atol=1e-14, err_msg=name)
    theirs = jax.grad(lambda a: loss(a).sum())(jnp.asarray(y))
    np.testing.assert_allclose(gradient, theirs, rtol=1e-11, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_one_divergence(name: str) -> None:
    loss, divergence, d = DIVERGENCES[name]
    same(name, divergence.forward(Y, d), divergence.gradient(Y, d), loss)


def of(op: Composed, *y: np.ndarray) -> tuple[Any, Any]:
    """The value, and the gradient by the last input for a cotangent of ones."""
    z = op.forward(*y)
    return z, op.vjp(np.ones_like(z), y, z)[-1]


def test_sparsemax_is_sparse_plus_of_signed_logits() -> None:
    labels = SIGNS > 0
    op = Composed(
        "sparsemax", Node("s", ops.Multiply(), "t", "y"), Node("z", ops.SparsePlus(), "s"),
        inputs=("t", "y"), fixed=("t",),
    )  # fmt: skip
    same("sparsemax", *of(op, -SIGNS, Y), lambda y: L.sparsemax_loss(y, labels))


def test_ranking_softmax_is_a_linear_loss_of_a_log_softmax() -> None:
    relevance = RNG.integers(0, 4, (6, 4)).astype(float)
    op = Composed(
        "ranking", Node("l", ops.LogSoftmax(), "y"), Node("z", LinearLoss(), "l", "t"),
        inputs=("t", "y"), fixed=("t",),
    )  # fmt: skip
    same("ranking", *of(op, -relevance, Y),
         lambda y: L.ranking_softmax_loss(y, relevance, reduce_fn=None))  # fmt: skip


def test_a_triplet_of_optax_has_eps_under_the_root() -> None:
    """Ours adds eps to each difference, as PyTorch does; this is what Optax computes."""
    p, n = Y[::-1].copy(), np.roll(Y, 1)

    def distance(name: str, b: str) -> list[Node]:
        return [
            Node(f"{name}r", ops.Subtract(), "y", b), Node(f"{name}q", ops.Square(), f"{name}r"),
            Node(f"{name}s", ops.Sum(-1), f"{name}q"),
            Node(f"{name}e", ops.Scale(1.0, 1e-6), f"{name}s"),
            Node(name, ops.Sqrt(), f"{name}e"),
        ]  # fmt: skip

    op = Composed(
        "triplet", *distance("ap", "p"), *distance("an", "n"),
        Node("less", ops.Subtract(), "ap", "an"), Node("more", ops.Scale(1.0, 1.0), "less"),
        Node("z", ops.ReLU(), "more"), inputs=("p", "n", "y"), fixed=("p", "n"),
    )  # fmt: skip
    same("triplet", *of(op, p, n, Y), lambda y: L.triplet_margin_loss(y, p, n))


def test_ntxent_is_a_composition() -> None:
    labels = np.array([0, 1, 0, 1, 2, 2])
    alike = labels[:, None] == labels
    others, match = np.where(alike, -np.inf, 0.0), alike & ~np.eye(6, dtype=bool)
    op = Composed(
        "ntxent",
        Node("u", ops.L2Normalise(), "y"), Node("ut", ops.Transpose(), "u"),
        Node("c", ops.MatMul(), "u", "ut"), Node("s", ops.Scale(1 / 0.07), "c"),
        Node("o", ops.Add(), "s", "others"), Node("l", ops.LogSumExp(), "o"),
        Node("lc", ops.Reshape((6, 1), keep=0), "l"),
        Node("all", ops.LogAddExp(), "s", "lc"), Node("loss", ops.Subtract(), "all", "s"),
        Node("kept", ops.Multiply(), "loss", "match"), Node("sum", ops.Sum(), "kept"),
        Node("z", ops.Scale(1 / match.sum()), "sum"),
        inputs=("others", "match", "y"), fixed=("others", "match"),
    )  # fmt: skip
    same("ntxent", *of(op, others, match.astype(float), Y), lambda y: L.ntxent(y, labels))


@pytest.mark.parametrize(("margin", "loss"), [
    (1.0, L.multiclass_hinge_loss), (0.0, L.multiclass_perceptron_loss),
], ids=["hinge", "perceptron"])  # fmt: skip
def test_a_hinge_of_classes(margin: float, loss: Callable[..., Any]) -> None:
    network = Network(
        Node("loss", ops.MulticlassHinge(margin), "y", "t"), Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=("y", "t"),
    )  # fmt: skip
    case = Case(network, {}, {"y": Y, "t": ONE_HOT}, np.ones((6, 1)))
    ours = backprop(case)
    same("hinge", ours.value["loss"], 6 * ours.grad["y"], lambda y: loss(y, jnp.asarray(LABELS)))


RELEVANCE = RNG.integers(0, 4, (6, 4)).astype(float)
#: Two pictures of 3 x 4 pixels and 2 classes, as six rows of four.
PICTURES = np.eye(2)[RNG.integers(0, 2, (2, 3, 2))]
HALF = np.array([0.25, 0.75])


def pixels(y: Any) -> Any:
    return y.reshape(PICTURES.shape)


def by_projection(scores: Any) -> Any:
    """The largest p . scores - |p|^2 / 2 for p in the simplex."""
    p = optax.projections.projection_simplex(scores)
    return jnp.vdot(p, scores) - 0.5 * jnp.vdot(p, p)


LOSSES: dict[str, Callable[[Any], Any]] = {
    **{name: loss for name, (loss, _, _) in DIVERGENCES.items()},
    "sparsemax_loss": lambda y: L.sparsemax_loss(y, SIGNS > 0),
    "multiclass_sparsemax_loss": lambda y: L.multiclass_sparsemax_loss(y, LABELS),
    "ranking_softmax_loss": lambda y: L.ranking_softmax_loss(y, RELEVANCE),
    "triplet_margin_loss": lambda y: L.triplet_margin_loss(y, y[::-1] * 2, jnp.roll(y, 1)),
    "ntxent": lambda y: L.ntxent(y, jnp.array([0, 1, 0, 1, 2, 2])),
    "multiclass_hinge_loss": lambda y: L.multiclass_hinge_loss(y, LABELS),
    "multiclass_perceptron_loss": lambda y: L.multiclass_perceptron_loss(y, LABELS),
    "dice_loss": lambda y: L.dice_loss(pixels(y), PICTURES),
    "dice_loss of Tversky": lambda y: L.dice_loss(
        pixels(y), PICTURES, class_weights=HALF, alpha=0.3, beta=0.7, reduction="sum"
    ),
    "dice_loss without background": lambda y: L.dice_loss(
        pixels(y), PICTURES, ignore_background=True
    ),
    "multiclass_generalized_dice_loss": lambda y: L.multiclass_generalized_dice_loss(
        pixels(y), PICTURES
    ),
    "make_fenchel_young_loss of a logarithm": lambda y: (
        L.make_fenchel_young_loss(jax.nn.logsumexp)(y, P)
    ),
    "make_fenchel_young_loss of a maximum": lambda y: L.make_fenchel_young_loss(jnp.max)(y, P),
    "make_fenchel_young_loss of a projection": lambda y: (
        L.make_fenchel_young_loss(by_projection)(y, P)
    ),
    "cosine_similarity": lambda y: L.cosine_similarity(y, P),
    "convex_kl_divergence": lambda y: L.generalized_kl_divergence(y, P),
    "smooth_labels": lambda y: L.smooth_labels(y, 0.1) ** 2,
}  # fmt: skip

#: What the adapter of JAX calls for an op of the vocabulary, which the suite compares.
TWINS = {
    "binary_dice_loss", "ctc_loss", "hinge_loss", "huber_loss", "kl_divergence",
    "kl_divergence_with_log_targets", "log_cosh", "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss", "softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels",
}  # fmt: skip


def test_no_loss_is_left_out() -> None:
    """`ctc_loss` gives only a part of what `ctc_loss_with_forward_probs` does."""
    public = {name for name in dir(L) if callable(getattr(L, name)) and name[0] != "_"}
    known = {name.partition(" ")[0] for name in LOSSES} | TWINS
    assert public - known == {"ctc_loss_with_forward_probs"}
    called = "".join(path.read_text() for path in FOLDER.rglob("*.py"))
    assert {name for name in TWINS if f".{name}(" not in called} == set()


@pytest.mark.sample(18)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOSSES)
def test_in_a_recording_each_is_judged_by_formulas(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):  # with it, optax's projection fails in float32
        step = gp.record(lambda y: LOSSES[name](y).sum(), jnp.asarray(Y, dtype), strict=True)
        report = gp.check(step)
    assert report.exit_code == 0, report.diagnosis()


@jax.custom_jvp
def wrong(scores: Any) -> Any:
    return jax.nn.logsumexp(scores)


@wrong.defjvp
def _(scores: Any, tangents: Any) -> Any:
    (s,), (ds,) = scores, tangents
    return wrong(s), 1.01 * jnp.vdot(jax.nn.softmax(s), ds)


def test_a_wrong_gradient_in_a_loss_of_fenchel_and_young_is_accused_at_its_function() -> None:
    loss = L.make_fenchel_young_loss(wrong)
    report = gp.check(gp.record(lambda y: loss(y, P).sum(), jnp.asarray(Y)))
    assert {f.node for _, f in report.findings() if f.parity is False} == {"wrong_1"}
