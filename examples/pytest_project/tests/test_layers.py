"""Every check of every layer is a test: `pytest -k "relu and kinks"` runs one."""

from layers import clipped_backward, linear, linear_backward, relu, relu_backward

from gradparity import OwnOp
from gradparity.core import Affine, ReLU
from gradparity.testing import parametrize_with_checks

CLIPPED = OwnOp(relu, clipped_backward, reference=ReLU(), name="clipped")
LAYERS = [
    OwnOp(linear, linear_backward, reference=Affine(5, 3)),
    OwnOp(relu, relu_backward, reference=ReLU()),
    CLIPPED,
]


def meant(layer):
    """Clipping is no gradient, and these are the checks that say so."""
    if layer is not CLIPPED:
        return {}
    checks = "linearity random_points special_points at_kinks batch_of_one non_contiguous read_only"
    return dict.fromkeys(checks.split(), "large gradients are clipped on purpose")


@parametrize_with_checks(LAYERS, expected_failed_checks=meant)
def test_layer(implementation, check):
    check(implementation)
