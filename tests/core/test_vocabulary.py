"""Every op of the vocabulary on the numbers of its case: 60 digits, and the bounds.

What the values are by other means is said in test_best_forms.py, and by PyTorch and JAX.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity import core, ops
from gradparity.comparisons.cases.vocabulary import VOCABULARY
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.core import Bounded, Op, Rounding
from gradparity.core.vocabulary.pointwise import Step

from .oracle import MP, Real, as_array, inside

#: A central difference of H errs by H^2 f'''/6 and by 10^-60 |f| / H: 40 digits down, both.
H, TOLERANCE = Real.of(MP.mpf(10) ** -20), Real.of(MP.mpf(10) ** -28)


def inputs_of(name: str) -> tuple[Any, list[np.ndarray]]:
    """The op and its inputs and parameters in float32, away from kinks."""
    shaped = VOCABULARY[name]
    case = shaped.case(batch=2, seed=3, whole=False).astype("float32")
    step = case.network.steps[0]
    return shaped.op, [np.asarray(case.given[y]) for y in step.inputs]


def several(z: Any) -> tuple[Any, ...]:
    return z if isinstance(z, tuple) else (as_array(z),)


def cotangents(op: Any, z: tuple[Any, ...], make: Any) -> Any:
    """dz of every output with a gradient, as `vjp` takes it."""
    rng = np.random.default_rng(5)
    drawn = [make(rng.standard_normal(a.shape).astype(np.float32)) for a in z[: len(op.outputs)]]
    return tuple(drawn) if len(drawn) > 1 else drawn[0]


def as_reals(a: np.ndarray) -> Any:
    return a if a.dtype.kind in "iub" else Real.array(a)


#: Ops whose gradient is not the derivative of their value.
BY_DEFINITION = {"straight-through", "gaussian-nll-straight"}


def test_a_step_has_the_gradient_zero_or_that_of_its_output() -> None:
    z = np.array([-1.5, 0.0, 2.5])
    for to, y in (("sign", [-1, 0, 1]), ("floor", [-2, 0, 2]), ("ceil", [-1, 0, 3]),
                  ("nearest", [-2, 0, 2]), ("step", [0, 0, 1])):  # fmt: skip
        assert Step(to).f(z).tolist() == y
        assert Step(to).df(z, z, z).tolist() == [0, 0, 0]
        assert Step(to, straight_through=True).df(z, z, z).tolist() == z.tolist()


@pytest.mark.parametrize("name", [name for name in VOCABULARY if name not in BY_DEFINITION])
def test_vjp_is_the_transpose_of_the_derivative(name: str) -> None:
    """<dz, J v> = <vjp(dz), v>, with J v the difference of two values in 60 digits."""
    op, arrays = inputs_of(name)
    y = [as_reals(a) for a in arrays]
    z = op.forward(*y)
    dz = cotangents(op, several(z), Real.array)
    found = op.vjp(dz, tuple(y), z)
    assert len(found) == len(y)
    rng = np.random.default_rng(0)
    v = [
        None if g is None else Real.array(rng.standard_normal(a.shape))
        for a, g in zip(y, found, strict=True)
    ]
    assert any(each is not None for each in v)

    def moved(h: Any) -> tuple[Any, ...]:
        pairs = zip(y, v, strict=True)
        return several(op.forward(*(a if b is None else as_array(a + b * h) for a, b in pairs)))

    ahead, behind = moved(H), moved(-H)
    dz = dz if isinstance(dz, tuple) else (dz,)
    along = [
        d[at] * (a[at] - b[at]) / (2 * H)
        for d, a, b in zip(dz, ahead[: len(dz)], behind[: len(dz)], strict=True)
        for at in np.ndindex(*d.shape)
    ]
    back = []
    for g, a, b in zip(found, y, v, strict=True):
        if b is not None:
            assert np.shape(g) == a.shape
            back += [as_array(g)[at] * b[at] for at in np.ndindex(*a.shape)]
    size = 1 + sum(abs(t) for t in (*along, *back))
    assert abs(sum(along) - sum(back)) <= TOLERANCE * size


@pytest.mark.sample(136)
@pytest.mark.parametrize("name", VOCABULARY)
def test_bounds_cover_the_truth_and_every_dtype(name: str) -> None:
    op, arrays = inputs_of(name)
    truth = tuple(as_reals(a) for a in arrays)
    z = op.forward(*truth)
    right = [*several(z), *op.vjp(cotangents(op, several(z), Real.array), truth, z)]
    for dtype in ("float32", "float64"):
        rounding = Rounding.of(dtype)
        plain = tuple(a if a.dtype.kind in "iub" else a.astype(dtype) for a in arrays)
        z = op.forward(*plain)
        dz = cotangents(op, several(z), lambda a, dtype=dtype: a.astype(dtype))
        computed = [*several(z), *op.vjp(dz, plain, z)]

        def exactly(a: Any, rounding: Rounding = rounding) -> Any:
            return a if a.dtype.kind in "iub" else Bounded.exactly(a, rounding)

        bounded = tuple(map(exactly, plain))
        z = op.forward(*bounded)
        shaped = z if isinstance(z, tuple) else (z,)
        reference = [*shaped, *op.vjp(cotangents(op, shaped, exactly), bounded, z)]
        for got, bound, true in zip(computed, reference, right, strict=True):
            if got is None:
                assert bound is None
                continue
            assert got.dtype == dtype
            assert got.shape == bound.shape == np.shape(true)
            assert np.isfinite(bound.full_error()).all()
            assert inside(got, bound).all()
            assert inside(as_array(true), bound).all()


@pytest.mark.parametrize("name", VOCABULARY)
def test_output_shape_says_what_comes_out(name: str) -> None:
    op, arrays = inputs_of(name)
    z = several(op.forward(*arrays))
    shapes = op.output_shape(*(a.shape for a in arrays))
    assert [a.shape for a in z] == list(shapes if len(z) > 1 else [shapes])


@pytest.mark.parametrize("bounded", [False, True], ids=["plain", "bounded"])
@pytest.mark.parametrize("name", [n for n, s in (SHAPED | VOCABULARY).items() if s.batch is None])
def test_batches_of_zero_give_empty_results(name: str, bounded: bool) -> None:
    shaped, rounding = (SHAPED | VOCABULARY)[name], Rounding.of("float64")
    op, case = shaped.op, shaped.case(3)
    arrays = [
        *(case.inputs[n][:0] for n in shaped.shapes),
        *shaped.fixed.values(),
        *(np.full(shape, 0.5) for shape in op.parameter_shapes().values()),
    ]
    y = tuple(Bounded.exactly(a, rounding) if bounded and a.dtype.kind == "f" else a
              for a in arrays)  # fmt: skip
    with np.errstate(all="ignore"):  # a batch norm divides by the number of samples
        z = op.forward(*y)
        outputs = z if isinstance(z, tuple) else (z,)
        made = (lambda a: Bounded.exactly(a, rounding)) if bounded else np.asarray
        dz = cotangents(op, outputs, made)
        found = op.vjp(dz, y, z)
    for gradient, a in zip(found, arrays, strict=True):
        assert gradient is None or np.shape(getattr(gradient, "value", gradient)) == a.shape


REDUCED: dict[str, tuple[Op, float]] = {
    "log-sum-exp": (ops.LogSumExp(axis=0), -np.inf),
    "product": (ops.Prod(axis=0), 1.0),
    "norm": (ops.VectorNorm(axis=0), 0.0),
    "sum-of-sizes": (ops.VectorNorm(axis=0, order=1), 0.0),
    "variance": (ops.Variance(axis=0), np.nan),
    "deviation": (ops.Std(axis=0), np.nan),
    "sum": (core.Sum(0), 0.0),
    "softmax": (core.Softmax(axis=0), 0.0),
    "log-softmax": (core.LogSoftmax(axis=0), 0.0),
    "running-maximum": (ops.CumulativeMax(axis=0), 0.0),
}


@pytest.mark.parametrize("bounded", [False, True], ids=["plain", "bounded"])
@pytest.mark.parametrize("name", REDUCED)
def test_reductions_over_an_empty_axis_give_what_the_frameworks_give(
    name: str, bounded: bool
) -> None:
    op, want = REDUCED[name]
    y: Any = np.zeros((0, 2))
    y = Bounded.exactly(y, Rounding.of("float64")) if bounded else y
    with np.errstate(all="ignore"):
        z = op.forward(y)
        (dy,) = op.vjp(z, (y,), z)
    value = np.asarray(getattr(z, "value", z))
    assert np.array_equal(value, np.full(value.shape, want), equal_nan=True)
    assert np.shape(getattr(dy, "value", dy)) == (0, 2)
    assert op.subdifferential((np.zeros((0, 2)),), 0.0) is None
