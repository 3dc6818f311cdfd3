"""The whole network, and beside it the frameworks that are installed."""

import pytest
from layers import network

import gradparity as gp
from gradparity.core import Affine, CrossEntropy, ReLU

NETWORK = gp.layered([Affine(6, 8), ReLU(), Affine(8, 3)], CrossEntropy())


def test_network(gradparity):
    gradparity(NETWORK, network)


@pytest.mark.gradparity(dtypes=["float64"])
def test_a_batch_of_one(gradparity):
    gradparity(gp.Case.random(NETWORK, batch=1), network)


@pytest.mark.gradparity(adapters=["torch", "jax"])
def test_frameworks(gradparity):
    gradparity(NETWORK)
