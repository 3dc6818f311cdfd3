"""tinygrad keeps the promises of an adapter, but for what is different in tinygrad itself."""

from typing import ClassVar

from gradparity.testing import AdapterConformance


class TestTinygrad(AdapterConformance):
    adapter = "tinygrad"
    expected_failed_checks: ClassVar = {
        "op-sigmoid": "e^z is 2^(z log2 e): the rounding of the product counts |z| times",
        "op-silu": "as op-sigmoid",
        "op-tanh": "2 sigmoid(2z) - 1 cancels near 0: 0 for |z| = 1e-30",
        "op-softplus": "log(e^0 + e^z) is 0 for z < -37 (-17 in float32): e^z is lost beside 1",
        "op-softplus-threshold": "as op-softplus",
        "op-elu": "relu(z) - a relu(1 - e^z): slope 0 where e^z rounds to 1, NaN where it is inf",
        "op-elu-kinked": "as op-elu; at 0 the slope is 0, and [a, 1] is valid",
        "op-selu": "its constants have six digits, and e^z - 1 cancels",
        "op-gelu": "erf is a polynomial good to 1.5e-7, in float64 too",
    }
