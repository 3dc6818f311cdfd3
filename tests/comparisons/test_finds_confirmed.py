"""The true results of finds, computed again without mpmath: series of decimals and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from finds_rows import Row, other_versions, rows
from gradparity.comparisons.catalogue.confirmed import run
from gradparity.core.arithmetic.precision import Precision

#: Digits; the terms of the series of erf near 12 are as large as 1e62.
DIGITS = 260
Function = Callable[[Decimal], Decimal]
ONE, TWO = Decimal(1), Decimal(2)


@cache
def pi() -> Decimal:
    """Machin: pi = 16 atan(1/5) - 4 atan(1/239)."""

    def inverse_tangent(n: int) -> Decimal:
        terms = (Decimal((-1) ** k) / ((2 * k + 1) * Decimal(n) ** (2 * k + 1)) for k in range(400))
        return sum(terms, Decimal(0))

    return 16 * inverse_tangent(5) - 4 * inverse_tangent(239)


def series(first: Decimal, ratio: Callable[[int], Decimal]) -> Decimal:
    """The sum of terms, each of which is the one before it times ratio(n)."""
    term = total = first
    for n in range(1, 5000):
        term *= ratio(n)
        total += term
        if not term or abs(term) < abs(total).scaleb(-DIGITS):
            return total
    raise AssertionError("the series does not converge")


def ndtr(x: Decimal) -> Decimal:
    """1/2 + the density times x + x^3 / 3 + x^5 / 15 + ...; far below 0 a continued fraction."""
    if x < -12:
        below = -x
        for n in range(2000, 0, -1):
            below = -x + n / below
        return density(x) / below
    return ONE / 2 + density(x) * series(x, lambda n: x * x / (2 * n + 1))


def density(x: Decimal) -> Decimal:
    return (-x * x / 2).exp() / (2 * pi()).sqrt()


def sigmoid(x: Decimal) -> Decimal:
    return ONE / (ONE + (-x).exp()) if x > 0 else x.exp() / (ONE + x.exp())


def tanh(x: Decimal) -> Decimal:
    return 1 - 2 / ((2 * x).exp() + 1)


def sine(x: Decimal) -> Decimal:
    return series(x, lambda n: -x * x / (2 * n * (2 * n + 1)))


def cosine(x: Decimal) -> Decimal:
    return series(ONE, lambda n: -x * x / (2 * n * (2 * n - 1)))


def sinc_slope(x: Decimal) -> Decimal:
    if not x:
        return x
    return (cosine(pi() * x) - sine(pi() * x) / (pi() * x)) / x


def bessel(order: int, x: Decimal) -> Decimal:
    """The modified Bessel function of the first kind, of order 0 or 1."""
    return series((x / 2) ** order if order else ONE, lambda n: x * x / (4 * n * (n + order)))


def bessel1_slope(x: Decimal) -> Decimal:
    return bessel(0, x) - (bessel(1, x) / x if x else ONE / 2)


def gelu_tanh_parts(x: Decimal) -> tuple[Decimal, Decimal]:
    """The sigmoid of twice the cubic, and the derivative of twice the cubic."""
    scale, cubic = 2 * (2 / pi()).sqrt(), Decimal("0.044715")
    return sigmoid(scale * (x + cubic * x**3)), scale * (1 + 3 * cubic * x * x)


def gelu_tanh_slope(x: Decimal) -> Decimal:
    s, inner = gelu_tanh_parts(x)
    return s + x * s * (1 - s) * inner


def silu_slope(x: Decimal) -> Decimal:
    return sigmoid(x) * (1 + x * sigmoid(-x))


BERNOULLI = ("1/6", "-1/30", "1/42", "-1/30", "5/66", "-691/2730", "7/6", "-3617/510")
#: Arguments are moved so far up, where Stirling's series gives 25 digits.
FAR = 1000


def bernoulli() -> list[Decimal]:
    parts = (each.split("/") for each in BERNOULLI)
    return [Decimal(top) / Decimal(bottom) for top, bottom in parts]


def loggamma(x: Decimal) -> Decimal:
    y = x + FAR
    found = (y - ONE / 2) * y.ln() - y + (2 * pi()).ln() / 2
    for k, b in enumerate(bernoulli(), 1):
        found += b / (2 * k * (2 * k - 1) * y ** (2 * k - 1))
    for n in range(FAR):
        found -= (x + n).ln()
    return found


def digamma(x: Decimal) -> Decimal:
    y = x + FAR
    found = y.ln() - 1 / (2 * y)
    for k, b in enumerate(bernoulli(), 1):
        found -= b / (2 * k * y ** (2 * k))
    return found - sum((1 / (x + n) for n in range(FAR)), Decimal(0))


def trigamma(x: Decimal) -> Decimal:
    y = x + FAR
    found = 1 / y + 1 / (2 * y * y)
    for k, b in enumerate(bernoulli(), 1):
        found += b / y ** (2 * k + 1)
    return found + sum((1 / (x + n) ** 2 for n in range(FAR)), Decimal(0))


#: (call, what is asked) -> the true result.
TRUTHS: dict[tuple[str, str], Function] = {
    ("gelu(x)", "value"): lambda x: x * ndtr(x),
    ("gelu(x)", "slope"): lambda x: ndtr(x) + x * density(x),
    ("gelu(x, approximate='tanh')", "value"): lambda x: x * gelu_tanh_parts(x)[0],
    ("gelu(x, approximate='tanh')", "slope"): gelu_tanh_slope,
    ("ndtr(x)", "value"): ndtr,
    ("log_ndtr(x)", "value"): lambda x: ndtr(x).ln(),
    ("log_ndtr(x)", "slope"): lambda x: density(x) / ndtr(x),
    ("tanh(x)", "slope"): lambda x: 4 / (x.exp() + (-x).exp()) ** 2,
    ("tanhshrink(x)", "value"): lambda x: x - tanh(x),
    ("tanhshrink(x)", "slope"): lambda x: tanh(x) ** 2,
    ("sigmoid(x)", "slope"): lambda x: sigmoid(x) * sigmoid(-x),
    ("silu(x)", "slope"): silu_slope,
    ("softplus(x)", "slope"): sigmoid,
    ("soft_margin_loss(x, 1)", "value"): lambda x: (1 + (-x).exp()).ln(),
    ("soft_margin_loss(x, 1)", "slope"): lambda x: -sigmoid(-x),
    ("softsign(x)", "slope"): lambda x: 1 / (1 + abs(x)) ** 2,
    ("soft_sign(x)", "slope"): lambda x: 1 / (1 + abs(x)) ** 2,
    ("hardsigmoid(x)", "slope"): lambda x: ONE / 6,
    ("binary_cross_entropy_with_logits(x, 0)", "value"): lambda x: (1 + x.exp()).ln(),
    ("sigmoid_binary_cross_entropy(x, 0.5)", "slope"): lambda x: tanh(x / 2) / 2,
    ("expm1(x)", "slope"): lambda x: x.exp(),
    ("elu(x)", "slope"): lambda x: x.exp(),
    ("celu(x, 2)", "slope"): lambda x: (x / 2).exp(),
    ("exp2(x)", "slope"): lambda x: (x * TWO.ln()).exp() * TWO.ln(),
    ("pow(2, x)", "slope"): lambda x: (x * TWO.ln()).exp() * TWO.ln(),
    ("pow(x, -1)", "slope"): lambda x: -1 / x**2,
    ("reciprocal(x)", "slope"): lambda x: -1 / x**2,
    ("log10(x)", "slope"): lambda x: 1 / (x * Decimal(10).ln()),
    ("rsqrt(x)", "slope"): lambda x: -1 / (2 * x * x.sqrt()),
    ("arcsinh(x)", "slope"): lambda x: 1 / (1 + x * x).sqrt(),
    ("arctan(x)", "slope"): lambda x: 1 / (1 + x * x),
    ("sinh(x)", "value"): lambda x: (x.exp() - (-x).exp()) / 2,
    ("cosh(x)", "value"): lambda x: (x.exp() + (-x).exp()) / 2,
    ("log_cosh(x, 0)", "value"): lambda x: ((x.exp() + (-x).exp()) / 2).ln(),
    ("log_cosh(x, 0)", "slope"): tanh,
    ("squareplus(x)", "value"): lambda x: (x + (x * x + 4).sqrt()) / 2,
    ("squareplus(x)", "slope"): lambda x: (1 + x / (x * x + 4).sqrt()) / 2,
    ("sinc(x)", "slope"): sinc_slope,
    ("i0(x)", "value"): lambda x: bessel(0, x),
    ("i0(x)", "slope"): lambda x: bessel(1, x),
    ("i1(x)", "value"): lambda x: bessel(1, x),
    ("i1(x)", "slope"): bessel1_slope,
    ("i0e(x)", "slope"): lambda x: (bessel(1, x) - bessel(0, x).copy_sign(x)) * (-abs(x)).exp(),
    ("i1e(x)", "slope"):
        lambda x: (bessel1_slope(x) - bessel(1, x).copy_sign(x * x)) * (-abs(x)).exp(),
    ("loggamma(x)", "value"): loggamma,
    ("loggamma(x)", "slope"): digamma,
    ("digamma(x)", "value"): digamma,
    ("digamma(x)", "slope"): trigamma,
}  # fmt: skip


def asked(row: Row) -> tuple[Function, Decimal] | None:
    """The function and the exact number of a row; None where no series is written."""
    found = re.fullmatch(r"(\S+) \((value|slope), (\w+)\)", row["input"])
    call = row["function"].strip("`").partition(".")[2]
    if row["function"].startswith("`nn.gelu(x)"):
        call = "gelu(x, approximate='tanh')"
    function = TRUTHS.get((call, found[2])) if found else None
    if found is None or function is None:
        return None
    return function, Decimal(float(Precision.of(found[3]).round(np.float64(found[1]))))


CONFIRMED = [row for row in rows() if asked(row) is not None]


def test_there_are_twenty() -> None:
    assert len(CONFIRMED) >= 20


def test_the_series() -> None:
    """Values that are known in closed form or printed in tables."""
    with localcontext() as context:
        context.prec = DIGITS
        near = {"abs": 1e-30}
        assert float(pi() - Decimal("3.14159265358979323846264338327950288419716939937510582")) == (
            pytest.approx(0, abs=1e-50)
        )
        assert float(ndtr(Decimal(1)) - Decimal("0.8413447460685429")) == pytest.approx(
            0, abs=1e-15
        )
        assert float(ndtr(Decimal(-9)) + ndtr(Decimal(9)) - 1) == pytest.approx(0, **near)
        assert float(ndtr(Decimal(-13)) / (1 - ndtr(Decimal(13))) - 1) == pytest.approx(0, **near)
        assert float(sine(pi() / 6) - ONE / 2) == pytest.approx(0, **near)
        assert float(cosine(pi() / 3) - ONE / 2) == pytest.approx(0, **near)
        assert float(bessel(0, ONE) - Decimal("1.2660658777520084")) == pytest.approx(0, abs=1e-15)
        assert float(bessel(1, ONE) - Decimal("0.5651591039924850")) == pytest.approx(0, abs=1e-15)
        assert float(loggamma(Decimal(5)) - Decimal(24).ln()) == pytest.approx(0, **near)
        assert float(digamma(TWO) - digamma(ONE) - 1) == pytest.approx(0, **near)
        assert float(trigamma(ONE) - pi() ** 2 / 6) == pytest.approx(0, **near)


@pytest.mark.slow
@pytest.mark.skipif(not (find_spec("torch") and find_spec("jax")), reason="needs both")
@pytest.mark.parametrize("row", CONFIRMED, ids=lambda row: row["function"])
def test_true_results(row: Row) -> None:
    """The truth is that of the series to its last digit, and the result is not."""
    if other_versions(row):
        pytest.skip("other versions than those of the document")
    out, found = run(row["code"]), asked(row)
    assert out is not None
    assert found is not None
    with localcontext() as context:
        context.prec = DIGITS
        true = float(found[0](found[1]))
    assert float(out.true) == pytest.approx(true, rel=1e-8, abs=0)
    assert not abs(float(out.got) - true) <= 2.0**-40 * abs(true)
