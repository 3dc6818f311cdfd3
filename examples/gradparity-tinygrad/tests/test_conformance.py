"""tinygrad keeps the promises of an adapter, but for what is different in tinygrad itself."""

from typing import ClassVar

from gradparity.testing import AdapterConformance


class TestTinygrad(AdapterConformance):
    adapter = "tinygrad"
    expected_failed_checks: ClassVar = {
        "op-elu": "relu(z) - a relu(1 - e^z): slope 0 where e^z rounds to 1, NaN where it is inf",
        "op-elu-kinked": "as op-elu; at 0 the slope is 0, and [a, 1] is valid",
        "op-selu": "its constants have six digits, and e^z - 1 cancels",
        "op-gelu": "erf is a polynomial good to 1.5e-7, in float64 too",
    }
