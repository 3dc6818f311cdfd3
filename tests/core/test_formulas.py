"""Every formula checks itself in 60 digits, and its floats lie inside the bound `Bounded` gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradparity.core import (
    ELU,
    GELU,
    BinaryCrossEntropy,
    Bounded,
    Case,
    CrossEntropy,
    Identity,
    LinearLoss,
    Rounding,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from gradparity.core.arithmetic.arrays import erf
from gradparity.core.arithmetic.rounding import Forms

from .oracle import (
    DIVERGENCES,
    MP,
    OPS,
    SCALAR_OPS,
    Real,
    alone,
    case_of,
    evaluate,
    given_of,
    in_bounded,
    in_reals,
    inside,
    label,
    width_in,
)

H = Real.of(MP.mpf(10) ** -20)
#: A central difference errs by h^2 f'''/6 (40 digits down) and 10^-60 |f| / h (40 digits down).
TOLERANCE = MP.mpf(10) ** -30

#: Away from every kink, tie and threshold.
ORDINARY = np.array(
    [[0.3, -0.7, 1.9, 0.31, -1.2, 0.1], [-2.3, 0.45, -0.2, 2.7, 0.9, -0.95], [3, -3, 5, -6, 7, 8]]
)


def shifted(array, index, h):
    moved = array.copy()
    moved[index] = moved[index] + h
    return moved


def check_derivative(network, given, name):
    """The backward formula against (Err(p + h) - Err(p - h)) / 2h, element by element."""
    gradient = evaluate(network, given)[f"grad {name}"]

    def err(h, index):
        return evaluate(network, given | {name: shifted(given[name], index, h)})["Err"][()]

    for index in np.ndindex(*given[name].shape):
        difference = (err(H, index) - err(-H, index)) / (2 * H)
        size = max(abs(difference), abs(gradient[index] + Real(0)), Real(1))
        assert abs(difference - gradient[index]) <= Real.of(TOLERANCE) * size, (name, index)


@pytest.mark.sample(30)
@pytest.mark.parametrize("op", OPS, ids=label)
def test_the_backward_formula_is_the_derivative_of_the_forward_formula(op):
    network = alone(op)
    case = case_of(network, ORDINARY[:, : width_in(op)], seed=3)
    given = {name: Real.array(a) for name, a in given_of(case).items()}
    for name in ("x", *case.params):
        check_derivative(network, given, name)


PROBABILITIES = np.array([[0.2, 0.5, 0.3], [0.01, 0.9, 0.09], [0.125, 0.25, 0.625]])
LOGITS = np.array([[0.2, -1.5, 0.3], [3.0, -4.0, 0.5], [20.0, -20.0, 1.0]])
HARD = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
SOFT = np.array([[0.25, 0.5, 0.25], [0.0, 0.125, 0.875], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize("d", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("divergence", DIVERGENCES, ids=label)
def test_the_gradient_of_a_divergence_is_its_derivative(divergence, d):
    y = PROBABILITIES if getattr(divergence, "on", "") == "probabilities" else LOGITS
    network = alone(Identity(), divergence)
    check_derivative(network, {"x": Real.array(y), "d": Real.array(d)}, "x")


def test_the_check_finds_a_factor_of_one_in_1e20():
    class Wrong(Tanh):
        def df(self, dy, z, y):
            return super().df(dy, z, y) * Real.of(1 + MP.mpf(10) ** -20)

    x = Real.array(ORDINARY)
    with pytest.raises(AssertionError, match="x"):
        check_derivative(alone(Wrong()), {"x": x, "d": Real.array(ORDINARY)}, "x")


# --- inside the bound ------------------------------------------------------------------------

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    20.0,
    -20.0,
    30.0,
    -30.0,
    88.0,
    -89.0,
    104.0,
    -104.0,
    300.0,
    -300.0,
]
TINY = [1e-8, -1e-8, 1e-20, -1e-20, 1e-38, -1e-38, 1e-40, -1e-45, 1e-300, -5e-324]


def points(width, dtype):
    """Rows of ordinary, saturated, signed-zero and tiny numbers, and mixtures of them."""
    rng = np.random.default_rng(5)
    ordinary = rng.standard_normal((12, width)) * rng.choice([0.1, 1, 4], (12, 1))
    special = rng.permutation(SPECIAL + TINY)
    special = np.resize(special, (-(-len(special) // width), width))
    mixed = np.where(rng.random((6, width)) < 0.5, rng.choice(SPECIAL + TINY, (6, width)), 1.5)
    with np.errstate(under="ignore"):
        return np.concatenate([ordinary, special, mixed]).astype(dtype)


def check_inside(case, rounding, draws=None):
    """Floats in the dtype, and the reference itself, against the truth and the bound."""
    truth, reference = in_reals(case, draws), in_bounded(case, rounding, draws)
    given = evaluate(case.network, given_of(case, draws))
    assert truth.keys() == reference.keys() == given.keys()
    for name, bounded in reference.items():
        assert np.isfinite(bounded.full_error()).all(), f"no finite bound on {name}"
        true = np.asarray(truth[name], dtype=object)
        for what, z in (("truth", true), ("computed", given[name])):
            ok = inside(z, bounded)
            assert ok.all(), (
                f"{name}: {what} {np.asarray(z)[~ok][:3]} against {bounded.value[~ok][:3]} "
                f"+- {bounded.full_error()[~ok][:3]}"
            )
        # And the computed value is as near to the truth itself.
        off = np.asarray(Real.array(given[name])).reshape(true.shape) - true
        error = Real.array(bounded.full_error())
        near = [abs(o) <= e for o, e in zip(np.ravel(off), np.ravel(error), strict=True)]
        assert all(near), f"{name}: {np.ravel(off)[~np.array(near)][:3]}"


@pytest.mark.sample(38)
@pytest.mark.parametrize("statistical", [False, True], ids=["worst", "statistical"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", OPS, ids=label)
def test_floats_lie_inside_the_bound(op, dtype, statistical):
    network = alone(op)
    case = case_of(network, points(width_in(op), dtype), seed=7, dtype=dtype)
    draws = None
    if op.random:  # an implementation draws its own slopes
        y = (case.x,)
        draws = {"y1.draw": op.draw(y, op.forward(*y, op.sample(*y)))}
    check_inside(case, Rounding.of(dtype, statistical=statistical), draws)


def test_saturated_logits_of_300_and_1000_classes():
    """Softmax and cross-entropy with sums long enough for the statistical bound to be used."""
    rng = np.random.default_rng(2)
    for dtype in ("float64", "float32"):
        for op, div in ((Softmax(), LinearLoss()), (Identity(), CrossEntropy(eps=0.001))):
            x = rng.standard_normal((2, 300)) * np.array([[3.0], [100.0]])
            case = case_of(alone(op, div), x, dtype=dtype)
            check_inside(case, Rounding.of(dtype, statistical=True))


@pytest.mark.sample(21)
@pytest.mark.parametrize("statistical", [False, True], ids=["worst", "statistical"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("divergence", DIVERGENCES, ids=label)
def test_divergences_lie_inside_the_bound(divergence, dtype, statistical):
    rng = np.random.default_rng(11)
    if getattr(divergence, "on", "") == "probabilities":
        x = np.concatenate([PROBABILITIES, rng.dirichlet(np.ones(3), 4), [[1e-30, 0.5, 0.5]]])
    else:
        x = points(3, dtype)
    hard, soft = np.eye(3)[rng.integers(0, 3, len(x))], rng.dirichlet(np.ones(3), len(x))
    for d in (hard, soft.astype(dtype)):
        case = case_of(alone(Identity(), divergence), x, d=d.astype(dtype), dtype=dtype)
        check_inside(case, Rounding.of(dtype, statistical=statistical))


def test_a_probability_of_zero_with_no_mass_on_it_is_exact():
    """0 log 0 = 0 and 0 / 0 = 0, in the bound as well as in the value."""
    x, d = np.array([[0.0, 1.0, 0.5]]), np.array([[0.0, 1.0, 0.0]])
    case = Case(alone(Identity(), CrossEntropy(on="probabilities")), {}, x, d)
    check_inside(case, Rounding.of("float64"))


#: Other correct ways to compute a derivative: the bound, or that of a usual form, must admit them.
ADMISSIBLE = [
    ("ELU' from e^z", ELU(), lambda z, y: np.where(z > 0, 1, np.exp(np.minimum(z, 0)))),
    ("ELU' as y + 1", ELU(), lambda z, y: np.where(z > 0, 1, y + 1)),
    ("sigmoid' as y (1 - y)", Sigmoid(), lambda z, y: y * (1 - y)),
    ("sigmoid' as s(z) s(-z)", Sigmoid(), lambda z, y: y * Sigmoid().f(-z)),
    ("tanh' as 1 - y^2", Tanh(), lambda z, y: 1 - y * y),
    ("tanh' as (1 - y)(1 + y)", Tanh(), lambda z, y: (1 - y) * (1 + y)),
    ("softplus' as e^(z - y)", Softplus(), lambda z, y: np.exp(z - y)),
    ("softplus' as sigmoid", Softplus(), lambda z, y: Sigmoid().f(z)),
    ("softplus' as 1 - e^-y", Softplus(), lambda z, y: -np.expm1(-y)),
    ("SiLU' as s (1 + z (1 - s))", SiLU(), lambda z, y: _silu_slope(z)),
    ("SiLU' as s + y (1 - s)", SiLU(), lambda z, y: Sigmoid().f(z) + y * (1 - Sigmoid().f(z))),
]


def _silu_slope(z):
    s = Sigmoid().f(z)
    return s * (1 + z * (1 - s))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("op", "slope"), [a[1:] for a in ADMISSIBLE], ids=[a[0] for a in ADMISSIBLE]
)
def test_the_bound_or_a_usual_form_admits_other_correct_forms(op, slope, dtype):
    z = np.concatenate([points(6, dtype).ravel(), np.linspace(-40, 40, 801).astype(dtype)])[None]
    with np.errstate(under="ignore"):
        y = op.f(z)
        given = np.asarray(slope(z, y), dtype=dtype)

    def reference(rounding):
        bounded = Bounded.exactly(z, rounding)
        return op.df(
            Bounded.exactly(np.ones_like(z), rounding), bounded, Bounded.exactly(y, rounding)
        )

    assert admitted(given, reference, dtype)


def admitted(given, reference, dtype):
    """Whether one form, the best or a usual one, explains every element."""
    rounding = Rounding.of(dtype)
    careful = inside(given, reference(rounding))
    met = Forms()
    reference(replace(rounding, forms=met))
    forms = [reference(replace(rounding, forms=Forms((name,)))) for name in met.met]
    return careful.all() or any((careful | inside(given, form)).all() for form in forms)


BINARY_FORMS = {
    "Div as two softplus": lambda z, d: d * Softplus().f(-z) + (1 - d) * Softplus().f(z),
    "Div as z (1 - d) + softplus(-z)": lambda z, d: z * (1 - d) + Softplus().f(-z),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", BINARY_FORMS.values(), ids=BINARY_FORMS.keys())
def test_the_bound_or_a_usual_form_admits_other_binary_cross_entropies(form, dtype):
    divergence = BinaryCrossEntropy()
    z = np.linspace(-40, 40, 801).astype(dtype)[:, None]
    for target in (0.0, 1.0, 0.3):
        d = np.full_like(z, target)

        def reference(rounding, d=d):
            return divergence.forward(Bounded.exactly(z, rounding), Bounded.exactly(d, rounding))

        given = form(z, d)[:, 0]
        assert given.dtype == dtype
        assert admitted(given, reference, dtype)


@pytest.mark.parametrize("op", [o for o in SCALAR_OPS if not isinstance(o, GELU)], ids=label)
def test_values_are_accurate_relative_to_themselves(op):
    """A formula that cancels would widen its own bound: hence a limit that it does not set.

    At most two elementary functions (8 u each), four operations (2 u) and two constants (u).
    GELU is left out: 1 + erf(z) is what the frameworks compute, and it cancels for z << 0.
    """
    z = points(6, "float64")
    z = z[np.abs(z).min(axis=-1) > 1e-30]
    draw = (op.sample(z),) if op.random else ()
    true = op.forward(Real.array(z), *map(Real.array, draw))
    found = op.forward(z, *draw)
    off = np.abs([float(Real(a) - b) for a, b in zip(found.flat, true.flat, strict=True)])
    size = np.abs([float(b) for b in true.flat])
    assert (off <= 26 * 2.0**-53 * size + np.finfo(float).tiny).all()


def test_erf_is_accurate_to_float64():
    z = np.concatenate([np.linspace(-6, 6, 101), [1e-300, -1e-8, 27.0]])
    true = np.array([float(Real(v).erf()) for v in z])
    # math.erf is the C library's, within one ulp; the truth rounded is within half of one.
    np.testing.assert_array_max_ulp(erf(z), true, maxulp=2)
