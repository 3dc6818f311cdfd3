"""Kinks: every op knows its own, what is valid there, and what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.core import (
    ELU,
    GELU,
    SELU,
    Affine,
    Case,
    Hardtanh,
    LeakyReLU,
    LinearLoss,
    Max,
    Maximum,
    Maxout,
    MaxSubsets,
    Network,
    Node,
    Products,
    RandomizedLeakyReLU,
    ReLU,
    Softplus,
    Take,
    backprop,
)

from .oracle import SCALAR_OPS, label

TINY = float(np.finfo("float32").tiny)
S, SA = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772

INTERVALS = [
    (ReLU(), {0.0: (0.0, 1.0)}),
    (LeakyReLU(), {0.0: (0.01, 1.0)}),
    (LeakyReLU(a=1.5), {0.0: (1.0, 1.5)}),
    (LeakyReLU(a=-0.5), {0.0: (-0.5, 1.0)}),
    (LeakyReLU(a=1.0), {}),
    (RandomizedLeakyReLU(), {0.0: (1 / 8, 1.0)}),
    (RandomizedLeakyReLU(0.25, 0.5, training=False), {0.0: (0.375, 1.0)}),
    (RandomizedLeakyReLU(1.0, 1.0), {}),
    (ELU(a=0.5), {0.0: (0.5, 1.0)}),
    (ELU(a=2.0), {0.0: (1.0, 2.0)}),
    (ELU(a=1.0), {}),
    (SELU(), {0.0: (S, SA)}),
    (Hardtanh(), {-1.0: (0.0, 1.0), 1.0: (0.0, 1.0)}),
]


@pytest.mark.parametrize(("op", "intervals"), INTERVALS, ids=label)
def test_the_subdifferential_of_a_scalar_op(op, intervals):
    assert {kink.at: kink.interval for kink in op.kinks} == intervals
    y = np.array([[-1.0, -0.5, -0.0, 0.0, 0.5, 1.0]])
    found = op.subdifferential((y,), TINY)
    if not intervals:
        assert found is None
        return
    assert np.array_equal(found.at, np.isin(y, list(intervals)))
    for at, (low, high) in intervals.items():
        assert (found.low[y == at] == low).all()
        assert (found.high[y == at] == high).all()
    assert op.subdifferential((np.array([[0.3, -0.4]]),), TINY) is None


@pytest.mark.parametrize("op", [o for o in SCALAR_OPS if not getattr(o, "kinks", ())], ids=label)
def test_smooth_ops_have_no_kinks(op):
    assert op.subdifferential((np.array([[0.0, -0.0, 1.0, -1.0]]),), TINY) is None


def value_of(op, z):
    """With the core's own draw, if the op takes one."""
    return op.forward(z, *([op.sample(z)] if op.random else []))


@pytest.mark.parametrize("op", [o for o in SCALAR_OPS if getattr(o, "kinks", ())], ids=label)
def test_one_sided_slopes_are_the_limits_of_the_difference_quotients(op):
    """The definition itself: the lecture's f, from either side of the kink."""
    h = 2.0**-30
    for kink in op.kinks:
        z = np.array([[kink.at - h, kink.at, kink.at + h]])
        y = value_of(op, z)[0]
        left, right = (y[1] - y[0]) / h, (y[2] - y[1]) / h
        # Off by h f''/2 <= h and the roundings of two values near 1 over h: 2^-52 / 2^-30.
        if isinstance(op, RandomizedLeakyReLU) and op.training:
            assert op.l <= left <= op.u
        else:
            assert abs(left - kink.left) <= 2 * h + 2.0**-21
        assert abs(right - kink.right) <= 2 * h + 2.0**-21


def test_numbers_that_xla_flushes_count_as_zero():
    y = np.array([[TINY, TINY / 2, -TINY / 2, -TINY]])
    assert ReLU().subdifferential((y,), TINY).at.tolist() == [[False, True, True, False]]
    assert ReLU().subdifferential((y,), 0.0) is None
    assert Hardtanh().subdifferential((y,), TINY) is None


def slope_at(op, at):
    z = np.array([[at]])
    (dz,) = op.vjp(np.ones_like(z), (z,), op.forward(z))
    return float(dz[0, 0])


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_lecture_takes_1_at_0_and_the_frameworks_relu_0(zero):
    assert slope_at(ReLU(), zero) == 1.0
    assert slope_at(ReLU(subgradient="right"), zero) == 1.0
    assert slope_at(ReLU(subgradient="left"), zero) == 0.0
    assert slope_at(ReLU(subgradient=0.5), zero) == 0.5


@pytest.mark.parametrize(
    ("op", "at", "slopes"),
    [
        (LeakyReLU, 0.0, (0.01, 1.0, 0.5)),
        (SELU, 0.0, (SA, S, 1.5)),
        (Hardtanh, -1.0, (0.0, 1.0, 0.5)),
        (Hardtanh, 1.0, (1.0, 0.0, 0.5)),
        (lambda **k: ELU(a=0.5, **k), 0.0, (0.5, 1.0, 0.75)),
        (
            lambda **k: RandomizedLeakyReLU(training=False, **k),
            0.0,
            ((1 / 8 + 1 / 3) / 2, 1.0, 0.5),
        ),
    ],
)
def test_what_is_taken_at_a_kink(op, at, slopes):
    left, right, number = slopes
    assert slope_at(op(subgradient="left"), at) == left
    assert slope_at(op(subgradient="right"), at) == right
    assert slope_at(op(subgradient=number), at) == number


def test_the_left_slope_of_a_randomized_unit_is_the_drawn_one():
    """The lowest slope of the range is not a subgradient of the function that was drawn."""
    op = RandomizedLeakyReLU(subgradient="left", seed=3)
    z = np.zeros((2, 3))
    drawn = op.sample(z)
    dz, of_the_draw = op.vjp(np.ones_like(z), (z, drawn), z)
    assert of_the_draw is None
    assert np.array_equal(dz, drawn)
    assert op.subdifferential((z, drawn), TINY).low.min() <= drawn.min()


def test_without_a_kink_the_choice_is_never_used():
    assert slope_at(ELU(a=1.0, subgradient="left"), 0.0) == 1.0
    assert slope_at(ELU(a=1.0, subgradient=7.0), 0.0) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReLU(subgradient=1.5), r"subgradient=1\.5.*at 0 give 'left' \(0\).*\[0, 1\]"),
        (lambda: ReLU(subgradient=-0.1), r"-0\.1.*\[0, 1\]"),
        (lambda: ReLU(subgradient="middle"), "'middle'.*'left'.*'right'"),
        (lambda: ReLU(subgradient=float("nan")), r"nan.*\[0, 1\]"),
        (lambda: SELU(subgradient=1.0), r"1\.0.*\[1\.0507, 1\.7581\]"),
        (lambda: LeakyReLU(a=0.25, subgradient=0.2), r"0\.2.*\[0\.25, 1\]"),
        (lambda: Hardtanh(subgradient=2), r"at -1 give.*\[0, 1\]"),
        (lambda: LeakyReLU(a=float("inf")), "a=inf.*finite"),
        (lambda: LeakyReLU(a="0.1"), "a='0.1'.*finite"),
        (lambda: ELU(a=0.0), "a=0.*a > 0"),
        (lambda: RandomizedLeakyReLU(0.5, 0.25), "l <= u"),
        (lambda: GELU("sigmoid"), "'sigmoid'.*tanh"),
        (lambda: Softplus(threshold=float("nan")), "threshold=nan"),
    ],
)
def test_bad_choices_are_refused_with_what_is_valid(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- max -------------------------------------------------------------------------------------


def weights(op, z):
    z = np.array([z])
    y = op.f(z)
    return op.df(np.ones_like(y), z, y)[0].tolist()


def test_ties_first_last_even():
    z = [1.0, 3.0, 3.0, 0.0, 3.0]
    assert weights(Max(), z) == [0, 1, 0, 0, 0]
    assert weights(Max(ties="last"), z) == [0, 0, 0, 0, 1]
    assert weights(Max(ties="even"), z) == [0, 1 / 3, 1 / 3, 0, 1 / 3]
    assert weights(Max((2, 3), ties="even"), z) == [0, 1, 0.5, 0, 0.5]
    assert weights(Max((2, 3), ties="last"), z) == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("z", "tied"),
    [
        ([0.0, -0.0, -1.0], [True, True, False]),
        ([-0.0, -0.0, -0.0], [True, True, True]),
        ([1e-45, -1e-45, 0.0], [True, True, True]),  # equal once flushed
        ([TINY, 0.0, -1.0], None),
        ([2.0, 2.0, 1e-45], [True, True, False]),
        ([-1.0, -1.0, -2.0], [True, True, False]),
        ([1.0, 2.0, 3.0], None),
    ],
)
def test_which_inputs_share_the_maximum(z, tied):
    found = Max().subdifferential((np.array([z]),), TINY)
    if tied is None:
        assert found is None
    else:
        assert found.element.tolist() == np.flatnonzero(tied).tolist()
        assert not found.group.any()
        assert not found.input.any()


@pytest.mark.parametrize("ties", ["first", "last", "even"])
def test_the_weights_taken_lie_in_the_simplex(ties):
    rng = np.random.default_rng(0)
    z = rng.integers(-1, 2, (50, 7)) * 1.0
    z[rng.random(z.shape) < 0.2] = -0.0
    op = Max((3, 1, 3), ties=ties)
    found = op.subdifferential((z,), TINY)
    y = op.f(z)
    w = op.df(np.ones((50, 3)), z, y)
    assert (w >= 0).all()
    assert (w[z < np.repeat(y, (3, 1, 3), axis=-1)] == 0).all()
    for group in op.groups(w):
        # One division a weight and at most three terms: 3 roundings of numbers below 1.
        assert np.abs(group.sum(axis=-1) - 1).max() <= 3 * 2.0**-53
    # Where there is a tie, all the weight is in its slots.
    shares = np.bincount(found.group, w.ravel()[found.element], minlength=150)
    tied = found.groups(150)
    assert tied.any()
    assert not tied.all()
    assert np.abs(shares[tied] - 1).max() <= 3 * 2.0**-53


def test_ties_are_found_per_group_and_rows_without_one_have_one_winner():
    z = np.array([[1.0, 1.0, 5.0, 4.0], [1.0, 2.0, 3.0, 3.0], [1.0, 2.0, 4.0, 3.0]])
    found = Max((2, 2)).subdifferential((z,), TINY)
    # (sample, group) 0, 0 and 1, 1 of an output (3, 2); groups with one winner have no slot.
    assert found.group.tolist() == [0, 0, 3, 3]
    assert found.element.tolist() == [0, 1, 6, 7]
    assert found.groups(6).tolist() == [True, False, False, True, False, False]


def test_ties_of_a_maximum_along_another_axis():
    z = np.zeros((2, 3, 4))
    z[0, 1, 2] = z[0, 2, 2] = 1.0
    z[1] = np.arange(12.0).reshape(3, 4)
    found = Max(axis=1).subdifferential((z,), TINY)
    slots = set(zip(found.group.tolist(), found.element.tolist(), strict=True))
    assert slots == {*((k, 4 * j + k) for j in range(3) for k in (0, 1, 3)), (2, 6), (2, 10)}


def test_ties_of_overlapping_subsets_share_elements():
    op = MaxSubsets([[0, 1], [1, 2], [2]])
    found = op.subdifferential((np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 2.0]]),), TINY)
    slots = list(zip(found.group.tolist(), found.element.tolist(), strict=True))
    assert sorted(slots) == [(0, 0), (0, 1), (1, 1), (1, 2), (4, 4), (4, 5)]
    assert op.subdifferential((np.array([[1.0, 2.0, 3.0]]),), TINY) is None


@pytest.mark.parametrize(
    ("ties", "weights"), [("first", (1, 0)), ("last", (0, 1)), ("even", (0.5, 0.5))]
)
def test_the_maximum_of_two_arrays_and_its_ties(ties, weights):
    """a is broadcast over the rows: its element 0 ties twice, and gets what both rows send."""
    a, b = np.array([0.0, 1.0, TINY / 2]), np.array([[-0.0, 2.0, 0.0], [0.0, 0.5, -1.0]])
    op = Maximum(ties=ties)
    z = op.forward(a, b)
    da, db = op.vjp(np.ones_like(z), (a, b), z)
    assert da[0] == 2 * weights[0]
    assert db[:, 0].tolist() == [weights[1]] * 2
    assert (da[1], db[:, 1].tolist()) == (1, [1, 0])
    found = op.subdifferential((a, b), TINY)
    slots = zip(found.group.tolist(), found.input.tolist(), found.element.tolist(), strict=True)
    assert sorted(slots) == [(0, 0, 0), (0, 1, 0), (2, 0, 2), (2, 1, 2), (3, 0, 0), (3, 1, 3)]
    assert op.subdifferential((a + 5, b), TINY) is None


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (Max(), [(2, 3)]),
        (Max((2, 1)), [(2, 3)]),
        (Max(axis=0), [(2, 3)]),
        (MaxSubsets([[0, 1], [1, 2], [2, 0]]), [(2, 3)]),
        (Maximum(), [(2, 3), (3,)]),
    ],
    ids=label,
)
def test_the_routes_of_a_maximum_are_its_ties_where_all_inputs_are_equal(op, shapes):
    def slots(found):
        routes = zip(found.group, found.input, found.element, strict=True)
        return sorted(tuple(map(int, route)) for route in routes)

    routes = op.routes(*shapes)
    ties = op.subdifferential(tuple(np.ones(shape) for shape in shapes), TINY)
    single = np.bincount(routes.group) == 1  # a group of one has a route and never a tie
    assert [r for r in slots(routes) if not single[r[0]]] == slots(ties)
    assert {*routes.group.tolist()} == {*range(int(np.prod(op.output_shape(*shapes))))}


def test_overlapping_subsets_sum_their_contributions():
    op = MaxSubsets([[0, 1], [1, 2], [2]])
    net = Network(Node("y1", op, "x"), divergence=LinearLoss(), reduction="sum")
    x, d = np.array([[1.0, 2.0, 2.0]]), np.array([[1.0, 10.0, 100.0]])
    assert backprop(Case(net, {}, x, d)).grad["x"].tolist() == [[0, 11, 100]]
    last = Network(
        Node("y1", MaxSubsets([[0, 1], [1, 2], [2]], ties="last"), "x"),
        divergence=LinearLoss(),
        reduction="sum",
    )
    assert backprop(Case(last, {}, x, d)).grad["x"].tolist() == [[0, 1, 110]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Max(ties="random"), "'random'.*first.*last.*even"),
        (lambda: Max(sizes=(2, 0)), r"\(2, 0\).*sizes, whole numbers >= 1.*None for one group"),
        (lambda: Maximum(ties="random"), "'random'.*first.*last.*even"),
        (lambda: MaxSubsets([[0]], ties="random"), "'random'.*first.*last.*even"),
        (lambda: MaxSubsets([[0], []]), "one or more whole numbers"),
        (lambda: MaxSubsets([[0, 1, 0]]), r"subset 0 is \[0, 1, 0\]"),
        (lambda: MaxSubsets([]), "one or more rows"),
        (lambda: Take(()), "one or more whole numbers"),
        (lambda: Take((0, -1)), "whole numbers >= 0"),
        (lambda: Products([]), "pairs"),
        (lambda: Products([(0, -1)]), "whole numbers >= 0"),
        (lambda: Maxout(2, 0), "n_out=0"),
        (lambda: Affine(2.0, 3), "n_in=2.0.*whole number"),
    ],
)
def test_bad_groups_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- randomized leaky ReLU: slopes are read off an implementation's values -------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_observed_slopes_reproduce_the_values_and_stay_in_the_range(dtype):
    rng = np.random.default_rng(1)
    op = RandomizedLeakyReLU()
    z = rng.standard_normal((20, 5)).astype(dtype)
    z[0] = 0.0
    y = np.where(z > 0, z, rng.uniform(op.l, op.u, z.shape).astype(dtype) * z)
    slopes = op.draw((z,), y)
    assert slopes.dtype == dtype
    assert (slopes >= np.asarray(op.l, dtype)).all()
    assert (slopes <= np.asarray(op.u, dtype)).all()
    # A quotient and a product: two roundings.
    assert (np.abs(op.forward(z, slopes) - y) <= 2 * np.finfo(dtype).eps * np.abs(y)).all()


def test_observed_slopes_outside_the_range_are_not_believed():
    op = RandomizedLeakyReLU()
    z = np.array([[-1.0, -1.0]])
    assert op.draw((z,), 0.9 * z).tolist() == [[op.u, op.u]]
    assert op.draw((z,), 0.01 * z).tolist() == [[op.l, op.l]]
    assert not RandomizedLeakyReLU(training=False).random


def test_the_cores_own_draw_repeats_itself_and_another_seed_gives_another():
    z = np.ones((4, 3), np.float32)
    draw = RandomizedLeakyReLU().sample(z)
    assert draw.dtype == np.float32
    assert np.array_equal(draw, RandomizedLeakyReLU().sample(-z))
    assert not np.array_equal(draw, RandomizedLeakyReLU(seed=1).sample(z))
