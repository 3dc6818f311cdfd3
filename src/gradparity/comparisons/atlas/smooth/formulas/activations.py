"""Activations."""

from __future__ import annotations

from typing import Any

from .formula import Formula, smooth

__all__ = ["ACTIVATIONS", "log_sigmoid", "log_sum", "normal", "normal_density", "sigmoid"]

#: The constants of SELU, as far as they are published.
ALPHA, SCALE = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"
#: Beyond, an exponential of the argument's square is nothing to any format.
FAR = 1000


def sigmoid(m: Any, x: Any) -> Any:
    return 1 / (1 + m.exp(-x)) if x > 0 else m.exp(x) / (1 + m.exp(x))


def log_sum(m: Any, x: Any) -> Any:
    """log(1 + e^x)."""
    return max(x, 0) + m.log1p(m.exp(-abs(x)))


def log_sigmoid(m: Any, x: Any) -> Any:
    return -log_sum(m, -x)


def normal(m: Any, x: Any) -> Any:
    """The distribution function of a standard normal variable."""
    return m.erfc(-x / m.sqrt(2)) / 2


def normal_density(m: Any, x: Any) -> Any:
    return m.exp(-x * x / 2) / m.sqrt(2 * m.pi)


def _sech2(m: Any, x: Any) -> Any:
    e = m.exp(-2 * abs(x))
    return 4 * e / (1 + e) ** 2


def _flat(function: Any, far: Any) -> Any:
    """The function where |x| is below FAR; `far(x)` elsewhere."""
    return lambda m, x: function(m, x) if abs(x) < FAR else m.mpf(far(x))


def _bent(m: Any, x: Any) -> tuple[Any, Any]:
    """The argument of GELU's tanh, doubled, and its slope."""
    c, k = m.mpf("0.044715"), 2 * m.sqrt(2 / m.pi)
    return k * (x + c * x**3), k * (1 + 3 * c * x * x)


def _gelu_tanh_slope(m: Any, x: Any) -> Any:
    u, slope = _bent(m, x)
    return sigmoid(m, u) + x * sigmoid(m, u) * sigmoid(m, -u) * slope


def _mish(m: Any, x: Any) -> Any:
    e = m.exp(-abs(x))
    n = 1 + 2 * e if x > 0 else e * (e + 2)
    return x * n / (n + (2 * e * e if x > 0 else 2))


def _mish_slope(m: Any, x: Any) -> Any:
    e = m.exp(-abs(x))
    if x > 0:  # numerator and denominator times e^-4x
        inside, q = 1 + 2 * e, 1 + 2 * e + 2 * e * e
        return inside / q + 4 * x * e * e * (1 + e) / q**2
    n = e * (e + 2)
    return n / (n + 2) + x * 4 * e * (1 + e) / (n + 2) ** 2


def _elu(alpha: str, scale: str, width: int = 1) -> Formula:
    def value(m: Any, x: Any) -> Any:
        if x > 0:
            return m.mpf(scale) * x
        return m.mpf(scale) * m.mpf(alpha) * m.expm1(x / width)

    def slope(m: Any, x: Any) -> Any:
        if x > 0:
            return m.mpf(scale)
        return m.mpf(scale) * m.mpf(alpha) * m.exp(x / width) / width

    kinks = () if alpha == "1" or width > 1 else (0.0,)
    return Formula(value, slope, kinks=kinks)


def _root(m: Any, x: Any) -> Any:
    return m.sqrt(x * x + 4)


def _squareplus(m: Any, x: Any) -> Any:
    return (x + _root(m, x)) / 2 if x > 0 else 2 / (_root(m, x) - x)


def _squareplus_slope(m: Any, x: Any) -> Any:
    return _squareplus(m, x) / _root(m, x)


def _pieces(*pieces: tuple[float, Any, Any], last: tuple[Any, Any]) -> Formula:
    """A function by pieces: (end, value, slope) each, and the last one's."""

    def piece(index: int) -> Any:
        def function(m: Any, x: Any) -> Any:
            for end, *both in pieces:
                if x < end:
                    return m.mpf(both[index](x))
            return m.mpf(last[index](x))

        return function

    return Formula(piece(0), piece(1), kinks=tuple(end for end, *_ in pieces))


def _nothing(x: Any) -> int:
    return 0


def _one(x: Any) -> int:
    return 1


def _same(x: Any) -> Any:
    return x


ACTIVATIONS = {
    "relu": _pieces((0, _nothing, _nothing), last=(_same, _one)),
    "relu6": _pieces((0, _nothing, _nothing), (6, _same, _one), last=(lambda x: 6, _nothing)),
    "hardtanh": _pieces((-1, lambda x: -1, _nothing), (1, _same, _one), last=(_one, _nothing)),
    "hardsigmoid": _pieces((-3, _nothing, _nothing),
                           (3, lambda x: (x + 3) / 6, lambda x: (x - x + 1) / 6),
                           last=(_one, _nothing)),
    "hardswish": _pieces((-3, _nothing, _nothing),
                         (3, lambda x: x * (x + 3) / 6, lambda x: (2 * x + 3) / 6),
                         last=(_same, _one)),
    "leakyrelu": _pieces((0, lambda x: x / 100, lambda x: (x - x + 1) / 100), last=(_same, _one)),
    "rrelu": _pieces((0, lambda x: 11 * x / 48, lambda x: (x - x + 11) / 48), last=(_same, _one)),
    "sparseplus": _pieces((-1, _nothing, _nothing),
                          (1, lambda x: (x + 1) ** 2 / 4, lambda x: (x + 1) / 2),
                          last=(_same, _one)),
    "sparsesigmoid": _pieces((-1, _nothing, _nothing),
                             (1, lambda x: (x + 1) / 2, lambda x: (x - x + 1) / 2),
                             last=(_one, _nothing)),
    "hardshrink": _pieces((-0.5, _same, _one), (0.5, _nothing, _nothing), last=(_same, _one)),
    "softshrink": _pieces((-0.5, lambda x: x + 0.5, _one), (0.5, _nothing, _nothing),
                          last=(lambda x: x - 0.5, _one)),
    "sigmoid": smooth(sigmoid, lambda m, x: sigmoid(m, x) * sigmoid(m, -x)),
    "logsigmoid": smooth(log_sigmoid, lambda m, x: sigmoid(m, -x)),
    "softplus": smooth(log_sum, sigmoid),
    "softplus(x, 2)": smooth(lambda m, x: log_sum(m, 2 * x) / 2, lambda m, x: sigmoid(m, 2 * x)),
    "tanh": smooth(lambda m, x: m.tanh(x), _sech2),
    "silu": smooth(lambda m, x: x * sigmoid(m, x),
                   lambda m, x: sigmoid(m, x) * (1 + x * sigmoid(m, -x))),
    "mish": smooth(_mish, _mish_slope),
    "gelu": smooth(_flat(lambda m, x: x * normal(m, x), lambda x: max(x, 0)),
                   _flat(lambda m, x: normal(m, x) + x * normal_density(m, x), lambda x: x > 0)),
    "gelutanh": smooth(_flat(lambda m, x: x * sigmoid(m, _bent(m, x)[0]), lambda x: max(x, 0)),
                       _flat(_gelu_tanh_slope, lambda x: x > 0)),
    "elu": _elu("1", "1"),
    "elu(x, 2)": _elu("2", "1"),
    "celu(x, 2)": _elu("2", "1", 2),
    "selu": _elu(ALPHA, SCALE),
    "softsign": smooth(lambda m, x: x / (1 + abs(x)), lambda m, x: 1 / (1 + abs(x)) ** 2),
    "tanhshrink": smooth(lambda m, x: x - m.tanh(x), lambda m, x: m.tanh(x) ** 2),
    "squareplus": smooth(_squareplus, _squareplus_slope),
}  # fmt: skip
