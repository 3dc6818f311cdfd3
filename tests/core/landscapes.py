"""Functions, gradients and dtypes for the tests of gradient descent."""

import numpy as np

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]

#: No stopping rule: for the one that is tested, `OFF | {"max_steps": 7}`.
OFF = {"epsilon": None, "epsilon_gradient": None, "max_steps": None}


def square(x):
    return np.sum(x * x)


def square_grad(x):
    return 2 * x


def quartic(x):
    return x**4


def quartic_grad(x):
    return 4 * x**3


def rotation(n, seed):
    """An orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
