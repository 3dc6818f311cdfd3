"""Ops on arrays of any shape: against plain loops, the transpose product, and their bounds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from gradparity.core import (
    L2,
    Add,
    Affine,
    Bounded,
    Broadcast,
    Case,
    Concatenate,
    CrossEntropy,
    LogSoftmax,
    Max,
    Maximum,
    MaxSubsets,
    Mean,
    Multiply,
    Network,
    Node,
    Op,
    Products,
    Reshape,
    Rounding,
    Select,
    Softmax,
    Sum,
    Take,
    Tanh,
    Transpose,
    backprop,
    layered,
)

from .oracle import (
    MP,
    SCALAR_OPS,
    Real,
    as_array,
    evaluate,
    flat,
    given_of,
    in_bounded,
    in_reals,
    inside,
)

LARGEST = 3  # length of an axis
SHAPES = st.lists(st.integers(1, LARGEST), min_size=1, max_size=5).map(tuple)
#: A central difference of H errs by H^2 f'''/6 and by 10^-60 |f| / H: 40 digits down, both.
H, TOLERANCE = Real.of(MP.mpf(10) ** -20), Real.of(MP.mpf(10) ** -30)
#: Two correct ways to add a few hundred numbers of 60 digits.
SAME = Real.of(MP.mpf(10) ** -50)


# --- an op with the shapes of its inputs -----------------------------------------------------


def one_of(draw: Any, *choices: Any) -> Any:
    return draw(st.sampled_from(choices))


def an_axis(draw: Any, shape: tuple[int, ...]) -> int:
    return draw(st.integers(-len(shape), len(shape) - 1))


def affine(draw: Any, shape: Any) -> Any:
    op = Affine(shape[-1], draw(st.integers(1, 3)), bias=draw(st.booleans()))
    return op, [shape, *op.parameter_shapes().values()]


def elementwise(draw: Any, shape: Any) -> Any:
    op = one_of(draw, *SCALAR_OPS)
    return op, [shape] * (2 if op.random else 1)


def along_an_axis(draw: Any, shape: Any) -> Any:
    return one_of(draw, Softmax, LogSoftmax)(an_axis(draw, shape)), [shape]


def largest(draw: Any, shape: Any) -> Any:
    axis, ties = an_axis(draw, shape), one_of(draw, "first", "last", "even")
    n = shape[axis]
    cuts = sorted({0, n, draw(st.integers(0, n))})
    sizes = one_of(draw, None, tuple(hi - lo for lo, hi in pairwise(cuts)))
    return Max(sizes, axis=axis, ties=ties), [shape]


def broadcasting(draw: Any, shape: Any) -> Any:
    op = one_of(draw, Add(), Multiply(), *(Maximum(ties=t) for t in ("first", "last", "even")))
    n = 2 if op.n_inputs else draw(st.integers(2, 4))
    shapes = mutually_broadcastable_shapes(
        num_shapes=n, base_shape=shape, min_dims=0, max_dims=5, max_side=LARGEST
    )
    return op, list(draw(shapes).input_shapes)


def side_by_side(draw: Any, shape: Any) -> Any:
    axis = an_axis(draw, shape)
    shapes = [list(shape) for _ in range(draw(st.integers(2, 3)))]
    for each in shapes:
        each[axis] = draw(st.integers(1, LARGEST))
    return Concatenate(axis), [tuple(each) for each in shapes]


def indexed(draw: Any, shape: Any) -> Any:
    index = st.integers(0, shape[-1] - 1)
    subset = st.lists(index, min_size=1, max_size=3, unique=True)
    return (
        one_of(
            draw,
            Take(draw(st.lists(index, min_size=1, max_size=4))),
            Products(draw(st.lists(st.tuples(index, index), min_size=1, max_size=3))),
            MaxSubsets(draw(st.lists(subset, min_size=1, max_size=3))),
        ),
        [shape],
    )


def rearranged(draw: Any, shape: Any) -> Any:
    keep = draw(st.integers(0, len(shape)))
    rest = shape[keep:]
    axis = an_axis(draw, shape)
    choices = [
        Reshape(draw(st.permutations(rest)), keep),
        Reshape((-1,), keep),
        Reshape((1, *rest, 1), keep),
        Select(draw(st.integers(-shape[axis], shape[axis] - 1)), axis),
    ]
    if len(shape) > 1:
        choices += [Transpose(tuple(draw(st.permutations(range(len(shape)))))), Transpose()]
    return one_of(draw, *choices), [shape]


def stretched(draw: Any, shape: Any) -> Any:
    more = tuple(draw(st.lists(st.integers(1, 2), max_size=5 - len(shape))))
    wide = tuple(draw(st.integers(1, LARGEST)) if n == 1 else n for n in shape)
    return Broadcast((*more, *wide)), [shape]


def reduced(draw: Any, shape: Any) -> Any:
    each = st.integers(0, len(shape) - 1)
    axes = draw(st.lists(each, min_size=1, max_size=len(shape), unique=True))
    axes = tuple(a - len(shape) * draw(st.integers(0, 1)) for a in axes)
    return one_of(draw, Sum, Mean)(one_of(draw, None, axes, an_axis(draw, shape))), [shape]


KINDS = [
    affine, elementwise, along_an_axis, largest, broadcasting, side_by_side, indexed, rearranged,
    stretched, reduced,
]  # fmt: skip


@st.composite
def drawn(draw: Any, kind: Any) -> tuple[Op, list[np.ndarray], np.ndarray]:
    """An op, float32 inputs away from its kinks, and dz."""
    op, shapes = kind(draw, draw(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    if op.random:
        y[-1] = op.sample(y[0])
    shape = op.output_shape(*shapes[: len(shapes) - op.random])
    return op, y, rng.standard_normal(shape).astype(np.float32)


# --- each element by itself ------------------------------------------------------------------


def there(a: Any, at: Any) -> Any:
    """An element of what is broadcast."""
    at = at[len(at) - a.ndim :]
    return a[tuple(0 if n == 1 else i for n, i in zip(a.shape, at, strict=True))]


def line(a: Any, at: Any, axis: int) -> list[Any]:
    """All along an axis, through a point."""
    axis %= a.ndim
    return [a[(*at[:axis], j, *at[axis + 1 :])] for j in range(a.shape[axis])]


def element(op: Op, y: list[Any], at: tuple[int, ...]) -> Any:
    """One element of the output, of numbers one by one."""
    a = y[0]
    match op:
        case Affine():
            terms = [v * w for v, w in zip(line(a, at, -1), y[1][:, at[-1]], strict=True)]
            return sum(terms) + (y[2][at[-1]] if op.bias else 0)
        case Softmax() | LogSoftmax():
            total = sum(v.exp() for v in line(a, at, op.axis))
            return a[at].exp() / total if isinstance(op, Softmax) else a[at] - total.log()
        case Max():
            axis = op.axis % a.ndim
            sizes = op.sizes or (a.shape[axis],)
            start = sum(sizes[: at[axis]])
            return max(line(a, at, axis)[start : start + sizes[at[axis]]])
        case MaxSubsets():
            return max(a[(*at[:-1], j)] for j in op.subsets[at[-1]])
        case Products():
            j, k = op.pairs[at[-1]]
            return a[(*at[:-1], j)] * a[(*at[:-1], k)]
        case Add():
            return sum(there(each, at) for each in y)
        case Multiply():
            return there(a, at) * there(y[1], at)
        case Maximum():
            return max(there(a, at), there(y[1], at))
        case Concatenate():
            axis, j = op.axis % a.ndim, at[op.axis % a.ndim]
            for each in y:
                if j < each.shape[axis]:
                    return each[(*at[:axis], j, *at[axis + 1 :])]
                j -= each.shape[axis]
        case Take():
            return a[(*at[:-1], op.indices[at[-1]])]
        case Transpose():
            axes = op.axes or (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
            return a[tuple(at[axes.index(k)] for k in range(a.ndim))]
        case Select():
            axis = op.axis % a.ndim
            return a[(*at[:axis], op.index, *at[axis:])]
        case Broadcast():
            return there(a, at)
        case Sum():  # and Mean
            axes = range(a.ndim) if op.axis is None else np.atleast_1d(op.axis) % a.ndim
            kept = [k for k in range(a.ndim) if k not in {int(k) for k in axes}]
            here = [v for i, v in np.ndenumerate(a) if tuple(i[k] for k in kept) == at]
            return sum(here) / (len(here) if isinstance(op, Mean) else 1)
    return op.forward(*(each[at].reshape(1, 1) for each in map(Elements, y)))[0, 0]


class Elements:
    """Elements as arrays, which an object array does not give."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __getitem__(self, at: tuple[int, ...]) -> Any:
        return self.a[tuple(slice(i, i + 1) for i in at)]


def reals(arrays: Any) -> list[Any]:
    return [Real.array(a) for a in arrays]


each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
some = settings(derandomize=True, deadline=None, max_examples=40)


@pytest.mark.sample(6)
@each_kind
@some
@given(data=st.data())
def test_a_value_is_what_plain_loops_give(kind, data):
    op, y, dz = data.draw(drawn(kind))
    y = reals(y)
    z = as_array(op.forward(*y))
    assert z.shape == dz.shape  # which is what output_shape said
    for at in np.ndindex(*z.shape):
        want = element(op, y, at) if not isinstance(op, Reshape) else y[0].flat[flat_index(z, at)]
        assert abs(z[at] - want) <= SAME * (1 + abs(z[at])), (op, at)


def flat_index(z: Any, at: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(at, z.shape)) if at else 0


@each_kind
@some
@given(data=st.data())
def test_vjp_is_the_transpose_of_the_derivative(kind, data):
    """<dz, J v> = <vjp(dz), v>, with J v the difference of two values in 60 digits."""
    op, y, dz = data.draw(drawn(kind))
    rng = np.random.default_rng(0)
    y, dz = reals(y), Real.array(dz)
    found = op.vjp(dz, tuple(y), as_array(op.forward(*y)))
    assert len(found) == len(y)
    pairs = zip(y, found, strict=True)
    v = [Real.array(rng.standard_normal(a.shape) * (g is not None)) for a, g in pairs]
    ahead, behind = (
        as_array(op.forward(*(as_array(a + b * h) for a, b in zip(y, v, strict=True))))
        for h in (H, -H)
    )
    along = [dz[at] * (ahead[at] - behind[at]) / (2 * H) for at in np.ndindex(*dz.shape)]
    back = []
    for g, a, b in zip(found, y, v, strict=True):
        if g is None:
            assert op.random
            continue
        assert g.shape == a.shape
        back += [as_array(g)[at] * b[at] for at in np.ndindex(*a.shape)]
    size = 1 + sum(abs(t) for t in (*along, *back))
    assert abs(sum(along) - sum(back)) <= TOLERANCE * size, op


@pytest.mark.sample(5)
@each_kind
@some
@given(data=st.data())
def test_bounds_cover_the_truth_and_every_dtype(kind, data):
    op, y, dz = data.draw(drawn(kind))
    truth = reals(y)
    z = as_array(op.forward(*truth))
    right = [z, *op.vjp(Real.array(dz), tuple(truth), z)]
    for dtype in ("float32", "float64"):
        rounding = Rounding.of(dtype)
        plain, dzp = tuple(a.astype(dtype) for a in y), dz.astype(dtype)
        z = op.forward(*plain)
        computed = [z, *op.vjp(dzp, plain, np.asarray(z))]
        bounded = tuple(Bounded.exactly(a, rounding) for a in plain)
        z = op.forward(*bounded)
        reference = [z, *op.vjp(Bounded.exactly(dzp, rounding), bounded, z)]
        for given_, bound, true in zip(computed, reference, right, strict=True):
            if given_ is None:
                assert bound is None
                continue
            assert given_.dtype == dtype, op
            assert given_.shape == bound.shape == np.shape(true), op
            assert bound.full_error().shape == bound.shape
            assert np.isfinite(bound.full_error()).all()
            assert inside(given_, bound).all(), op
            assert inside(as_array(true), bound).all(), op


# --- what does not fit -----------------------------------------------------------------------

MISFITS = [
    (Affine(3, 2), [(2, 4)], r"width 3, received shape \(2, 4\)"),
    (Affine(3, 2), [()], r"width 3, received shape \(\)"),
    (Softmax(2), [(2, 3)], r"Softmax\(axis=2, safe=False\) does not fit a value of shape \(2, 3\)"),
    (LogSoftmax(-3), [(2, 3)], r"LogSoftmax\(axis=-3\) does not fit"),
    (Max(axis=2), [(2, 3)], r"axis=2.* does not fit a value of shape \(2, 3\)"),
    (Max((1, 1), axis=1), [(2, 3)], r"width 2, .* shape \(2, 3\), whose axis 1 has length 3"),
    (Concatenate(2), [(2, 3), (2, 3)], r"Concatenate\(axis=2\) does not fit"),
    (Concatenate(0), [(2, 3), (2, 4)], r"alike but for axis 0, received \(\(2, 3\), \(2, 4\)\)"),
    (Concatenate(0), [(2, 3), (3,)], r"of one rank, received shapes \(\(2, 3\), \(3,\)\)"),
    (Add(), [(2, 3), (3, 2)], r"Add: the shapes \(2, 3\) and \(3, 2\) do not broadcast"),
    (Multiply(), [(2, 3), (2,)], r"Multiply: the shapes \(2, 3\) and \(2,\) do not"),
    (Maximum(), [(2, 3), (4,)], r"Maximum: the shapes \(2, 3\) and \(4,\) do not"),
    (Take((3,)), [(2, 3)], r"index 3 of a value of shape \(2, 3\); indices go from 0 to 2"),
    (Take((0,)), [()], r"does not fit a value of shape \(\)"),
    (Products([(0, 3)]), [(2, 3)], r"index 3 of a value of shape \(2, 3\)"),
    (MaxSubsets([[3]]), [(2, 3)], r"index 3 of a value of shape \(2, 3\)"),
    (Reshape((5,)), [(2, 3)], "the axes after the first 1 hold 3 elements"),
    (Transpose((0, 2)), [(2, 3)], r"Transpose\(axes=\(0, 2\)\) does not fit"),
    (Transpose(), [(2,)], r"does not fit a value of shape \(2,\)"),
    (Select(3), [(2, 3)], r"Select\(index=3, axis=1\) does not fit"),
    (Select(0, 2), [(2, 3)], r"Select\(index=0, axis=2\) does not fit"),
    (Broadcast((3,)), [(2, 3)], r"\(2, 3\) does not broadcast to \(3,\)"),
    (Sum(2), [(2, 3)], r"Sum\(axis=2\) does not fit a value of shape \(2, 3\)"),
    (Sum((0, -2)), [(2, 3)], r"Sum\(axis=\(0, -2\)\) does not fit"),
    (Mean(-3), [(2, 3)], r"Mean\(axis=-3\) does not fit"),
]


@pytest.mark.parametrize(("op", "shapes", "message"), MISFITS)
def test_shapes_that_do_not_fit_are_named_with_the_node(op, shapes, message):
    with pytest.raises(ValueError, match=message):
        op.output_shape(*shapes)
    names = ["x", "u", "v"][: len(shapes)]
    node = Node("a", op, *names)
    network = Network(node, inputs=names, divergence=L2())
    with pytest.raises(ValueError, match=rf"node 'a' <- {', '.join(names)}: .*{message}"):
        network.shapes(dict(zip(names, shapes, strict=True)))


@some
@given(shape=SHAPES, at=st.integers(0, 4), name=st.sampled_from(["x", "u"]))
def test_an_empty_axis_is_refused_by_the_case(shape, at, name):
    network = Network(Node("a", Add(), "x", "u"), inputs=("x", "u"), divergence=L2())
    inputs = {"x": np.ones(shape), "u": np.ones(shape)}
    Case.random(network, x=inputs)
    at %= len(shape)
    inputs[name] = np.ones((*shape[:at], 0, *shape[at + 1 :]))
    with pytest.raises(ValueError, match=rf"{name} has shape .*at least one sample and one elem"):
        Case(network, {}, inputs, np.ones(shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [Add(), Multiply(), Maximum()], ids=repr)
def test_a_number_broadcasts_and_has_a_gradient(op, dtype):
    """One learned number of shape (), scaling or shifting everything."""
    network = Network(Node("a", op, "x", "g"), parameters={"g": ()}, divergence=L2())
    case = Case(
        network, {"g": np.asarray(1.5, dtype)}, np.ones((2, 3), dtype) * 2, np.ones((2, 3), dtype)
    )
    trace = backprop(case)
    assert trace.grad["g"].shape == ()
    assert trace.grad["g"].dtype == dtype


# --- in a network ----------------------------------------------------------------------------


def attending(S: int, D: int) -> Network:
    """Tokens (T, S, D): a softmax over the tokens, a mask, a residual, and one token taken."""
    return Network(
        Node("z1", Affine(D, D), "x"),
        Node("a1", Softmax(1), "z1"),
        Node("m1", Multiply(), "a1", "mask"),
        Node("r1", Add(), "m1", "x", "b0"),
        Node("t1", Transpose((0, 2, 1)), "r1"),
        Node("p1", Max(axis=1), "t1"),
        Node("q1", Reshape((-1,)), "p1"),
        Node("s1", Select(S - 1), "r1"),
        Node("c1", Concatenate(), "q1", "s1"),
        Node("z2", Affine(S + D, 2), "c1"),
        inputs=("x", "mask", "b0"),
        fixed=("mask",),
        divergence=CrossEntropy(),
    )


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    T=st.integers(1, 3), S=st.integers(1, 3), D=st.integers(1, 3), seed=st.integers(0, 2**32 - 1)
)
def test_a_network_of_sequences(T, S, D, seed):
    rng = np.random.default_rng(seed)
    inputs = {
        "x": rng.standard_normal((T, S, D)),
        "mask": rng.integers(0, 2, (T, S, 1)) * 1.0,
        "b0": rng.standard_normal((1, 1, D)),  # broadcast over samples and tokens
    }
    case = Case.random(attending(S, D), x=inputs, seed=seed)
    trace, own = flat(backprop(case)), evaluate(case.network, given_of(case))
    assert trace.keys() == own.keys() - {"grad mask"}
    truth, bounded = in_reals(case), in_bounded(case, Rounding.of("float64"))
    for name, z in trace.items():
        assert np.array_equal(z, own[name]), name
        assert inside(z, bounded[name]).all(), name
        assert inside(as_array(truth[name]), bounded[name]).all(), name
        if name.startswith("value "):
            assert z.shape == case.shapes[name.removeprefix("value ")]


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 4), (2, 1, 3, 4), (2, 2, 1, 3, 4)])
def test_samples_times_tokens_are_the_lectures_samples(shape):
    """An affine map, an activation and a loss see (T, S, D) as (T S, D): the lecture's form."""
    network = layered([Affine(4, 3), Tanh(), Affine(3, 5)], CrossEntropy(0.05), reduction="sum")
    case = Case.random(network, x=np.random.default_rng(0).standard_normal(shape))
    assert case.d.shape == shape[:-1]
    rows = Case(network, case.params, case.x.reshape(-1, 4), case.d.reshape(-1))
    found, want = backprop(case), backprop(rows)
    assert found.Div.shape == shape[:-1]
    for name, g in want.grad.items():
        other = found.grad[name]
        np.testing.assert_allclose(other.reshape(g.shape), g, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found.Err, want.Err, rtol=1e-13)


# --- the tester tested -----------------------------------------------------------------------


class OverTheLastAxis(Softmax):
    def df(self, dy, z, y):
        return Softmax().df(dy, z, y)


class NotSummed(Multiply):
    def vjp(self, dz, y, z):
        return dz * y[1], dz[:1] * y[0][:1]


@pytest.mark.parametrize(
    ("op", "shapes"), [(OverTheLastAxis(0), [(2, 3)]), (NotSummed(), [(2, 3), (1, 3)])]
)
def test_a_planted_wrong_axis_is_found(op, shapes):
    rng = np.random.default_rng(1)
    y = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    case = op, y, rng.standard_normal((2, 3)).astype(np.float32)
    checks = test_vjp_is_the_transpose_of_the_derivative.hypothesis.inner_test
    with pytest.raises(AssertionError):
        checks(None, Given(case))


class Given:
    """Stands in for Hypothesis' data."""

    def __init__(self, case: Any) -> None:
        self.case = case

    def draw(self, _: Any) -> Any:
        return self.case
