"""Training by backprop (lecture, section 8): W <- W - eta dErr/dW until Err has converged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..arithmetic.arrays import Array
from ..arithmetic.received import received
from ..formulas.arguments import is_whole
from ..formulas.cross_entropies import BinaryCrossEntropy
from ..network.backprop import forward, training_gradients
from ..network.batch import sample_rows
from ..network.case import Case
from ..network.given import (
    by_name,
    checked_inputs,
    checked_params,
    regular_array,
    value_shapes,
)
from ..network.network import Network
from .descent import positive

__all__ = ["Training", "accuracy", "minibatches", "risk_of", "sgd_step", "train"]

Progress = Callable[[int, float], object]
Schedule = Callable[[int], Any]  # step k = 0, 1, ... -> eta_k


@dataclass(frozen=True, eq=False)
class Training:
    """A run of `train`; every array has the dtype of the case.

    Attributes
    ----------
    params : the parameters after the last step, by name: new arrays, writeable.
    losses : shape (steps,), Err of each step's minibatch, before its update.
    epoch_losses : Err over the instances of each whole epoch, each instance's Div taken when its
        minibatch was seen (the lecture accumulates it there), so the weights move meanwhile.
    steps : number of updates made.
    stopped_by : "converged", "epochs", or "diverged": the last Err, or a parameter, is not finite.
    """

    params: dict[str, Array]
    losses: Array
    epoch_losses: Array
    steps: int
    stopped_by: Literal["converged", "epochs", "diverged"]


def minibatches(
    T: int, batch_size: int | None = None, epochs: int = 1, seed: int = 0
) -> Iterator[Array]:
    """The instances of each step: one source of minibatches for every implementation.

    Parameters
    ----------
    T : number of instances.
    batch_size : instances a step, at most; 1 is per-instance training, None (or T) batch training.
    epochs : passes over all instances, each in an order of its own.
    seed : of NumPy's default generator; the same seed gives the same minibatches.

    Returns
    -------
    iterator of integer arrays, ceil(T / batch_size) an epoch, which together hold every instance
    once.  Their sizes differ by at most one, where others leave a small remainder to the last one:
    its mean over a few instances, at full eta, throws the weights (after 42 minibatches of 32
    digits, one of 3 took the training accuracy from 99.7 % to 76.6 %).  A batch of all T keeps the
    order given: shuffling it would change nothing but rounding.

    Raises
    ------
    TypeError, ValueError : a number that is not whole, a batch_size outside [1, T], epochs < 1;
        raised by the call, not by the first step.

    >>> [rows.tolist() for rows in minibatches(7, batch_size=3, seed=0)]
    [[2, 4, 3], [6, 5], [0, 1]]
    >>> [rows.tolist() for rows in minibatches(3, epochs=2)]
    [[0, 1, 2], [0, 1, 2]]
    """
    _check_whole("T", T, "the number of instances, at least 1")
    _check_whole("epochs", epochs, "at least 1")
    _check_whole("seed", seed, "at least 0", least=0)
    batch_size = T if batch_size is None else batch_size
    remedy = f"1 to {T}, or None for all instances"
    _check_whole("batch_size", batch_size, remedy)
    if batch_size > T:
        raise ValueError(f"batch_size is {batch_size}, and there are {T} instances; give {remedy}")
    return _minibatches(T, batch_size, epochs, np.random.default_rng(seed))


def _minibatches(T: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[Array]:
    for _ in range(epochs):
        order = np.arange(T) if size == T else rng.permutation(T)
        yield from np.array_split(order, -(-T // size))


def sgd_step(network: Network, params: dict[str, Array], inputs: Any, d: Array, eta: Any) -> Array:
    """One update W <- W - eta dErr/dW, in place in the arrays of `params`; nothing is checked.

    Parameters
    ----------
    params : every parameter by name, writeable.
    inputs : an array whose axis 0 is the batch, or all inputs by name.
    d : desired outputs (T, L) as ``divergence.desired`` returned them.
    eta : a Python float, or a NumPy scalar of the parameters' dtype.

    Returns
    -------
    Div, shape (T,), of the parameters as they were before the update; weights are in it.

    >>> from gradparity.core import *
    >>> case = Case(layered([Affine(1, 1)], L2()), {"W1": [[2.0]], "b1": [0.0]}, [[1.0]], [[1.0]])
    >>> params = {name: p.copy() for name, p in case.params.items()}
    >>> sgd_step(case.network, params, case.x, case.desired, eta=0.5), params["W1"], params["b1"]
    (array([0.5]), array([[1.5]]), array([-0.5]))
    """
    Div, grad = training_gradients(network, params, inputs, d)
    for name, gradient in grad.items():
        params[name] -= eta * gradient  # not `gradient *= eta`: an op may return one array twice
    return Div


def risk_of(network: Network, Div: Array, inputs: Mapping[str, Array]) -> Any:
    """Err of the Div that `sgd_step` returned for these inputs by name."""
    if network.weights is None:
        return network.risk(Div)
    return network.risk(Div, np.broadcast_to(inputs[network.weights], Div.shape))


def train(
    network: Network,
    params: Mapping[str, Array],
    inputs: Any,
    d: Array,
    *,
    eta: float | Schedule,
    batch_size: int | None = None,
    epochs: int = 100,
    seed: int = 0,
    tolerance: float | None = None,
    on_step: Progress | None = None,
    on_epoch: Progress | None = None,
) -> Training:
    """Training by backprop (lecture, section 8), from the parameters given, which stay untouched.

    Repeat: forward pass of the instances of a minibatch, accumulating Div and dErr/dW; then
    W <- W - eta dErr/dW; until Err has converged.

    Parameters
    ----------
    network, params, inputs, d : as in `Case`, which checks them: `inputs` is an array whose axis 0
        is the batch, or all inputs by name, ``{"x": ..., "mask": ...}``.  A minibatch takes rows of
        every input that has a batch axis; the others, such as one mask for all instances, stay
        whole.  The dtype of the floats is used throughout.
    eta : step size > 0, or a schedule k -> eta_k >= 0 for step k = 0, 1, ...: see
        `gradparity.core.lecture.descent` for `constant`, `inverse_time` and `exponential`.
    batch_size, epochs, seed : as in `minibatches`; None trains on the whole set at once.
    tolerance : converged when Err of an epoch is nearer than this to the one before; None: off.
    on_step, on_epoch : called with the number of the step or epoch, from 0, and its Err.

    Returns
    -------
    Training.  The run stops as "diverged" where Err or a parameter stops being finite; meanwhile
    NumPy's floating-point warnings are off.

    Raises
    ------
    TypeError, ValueError : what `Case` and `minibatches` refuse; an eta or a tolerance that is not
        positive and finite, an eta that is 0 in this dtype; a network without parameters or
        divergence; minibatches of a network that keeps no batch axis, or whose weights sum to 0.

    Notes
    -----
    A `RandomizedLeakyReLU` draws from its own seed: the same slopes in every step of one size.
    Running statistics, which have no gradient, stay as they are given.

    >>> from gradparity.core import *
    >>> xor = layered([Affine(2, 4), Tanh(), Affine(4, 1)], BinaryCrossEntropy())
    >>> x, labels = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> params = Case.random(xor, seed=1).params
    >>> run = train(xor, params, x, labels.astype(float), eta=1.0, epochs=2000, tolerance=1e-5)
    >>> run.stopped_by, accuracy(xor, run.params, x, labels)
    ('converged', 1.0)
    """
    _check_callback("on_step", on_step)
    _check_callback("on_epoch", on_epoch)
    if isinstance(network, Network) and network.divergence is None:
        raise ValueError(
            f"the network ends at {', '.join(network.ends)} and has no divergence; train follows "
            "the loss of each instance, so give divergence= instead of ends="
        )
    case = Case(network, params, inputs, d)
    if not case.params:
        raise ValueError("the network has no parameters to train; give it an op such as Affine")
    eta_at = _step_sizes(eta, case.dtype)
    positive("tolerance", tolerance, rule=True)
    T = case.desired.shape[0]
    batches = minibatches(T, batch_size, epochs, seed)
    per_epoch = -(-T // (batch_size or T))
    inputs_of = sample_rows(case)
    own = {name: p.copy() for name, p in case.params.items()}
    losses: list[Array] = []
    epoch_losses: list[Array] = []
    Divs: list[Array] = []
    seen: list[Array] = []
    stopped_by: Any = None
    for step, rows in enumerate(batches):
        with np.errstate(all="ignore"):
            part = inputs_of(rows)
            Divs.append(sgd_step(network, own, part, case.desired[rows], eta_at(step)))
            losses.append(risk_of(network, Divs[-1], part))
            seen.append(rows)
        if on_step:
            on_step(step, float(losses[-1]))
        if not np.isfinite(losses[-1]):
            stopped_by = "diverged"
        elif (step + 1) % per_epoch == 0:
            epoch = inputs_of(np.concatenate(seen)) if network.weights else {}
            epoch_losses.append(risk_of(network, np.concatenate(Divs), epoch))
            Divs.clear()
            seen.clear()
            stopped_by = _stopped(own, epoch_losses, tolerance)
            if on_epoch:
                on_epoch(len(epoch_losses) - 1, float(epoch_losses[-1]))
        if stopped_by:
            break
    Errs, epoch_Errs = np.array(losses, case.dtype), np.array(epoch_losses, case.dtype)
    return Training(own, Errs, epoch_Errs, len(losses), stopped_by or "epochs")


def accuracy(network: Network, params: Mapping[str, Array], inputs: Any, labels: Array) -> float:
    """The fraction of instances whose class is found (lecture, section 4).

    Of several outputs the largest is the class, the first one at a tie.  A single output is the
    probability of class 1 and is compared with 1/2; on the logits of `BinaryCrossEntropy` with 0.
    An instance with a NaN among its outputs is wrong.  All instances count alike, whatever their
    weights.

    Parameters
    ----------
    network, params : of any float dtype.
    inputs : an array whose axis 0 is the batch, or all inputs by name; the weights of the loss may
        be left out.
    labels : the classes, integers (T,), or of the output's shape without its last axis.

    Raises
    ------
    TypeError, ValueError : parameters or inputs that `Case` refuses, except NaN and inf; labels
        that are not integers (T,), a class without an output, or an output without an axis of
        classes.

    >>> from gradparity.core import *
    >>> net, x = layered([Softmax()], CrossEntropy(on="probabilities")), np.eye(3)
    >>> accuracy(net, {}, x, np.array([0, 1, 1]))
    0.6666666666666666
    """
    if not isinstance(network, Network):
        raise TypeError(f"network is {type(network).__name__}; give a Network")
    given, weights = by_name(network, inputs), network.weights
    if weights and not any(weights in step.inputs for step in network.body):
        given = {**given, weights: np.ones(1)}
    values = checked_inputs(network, given, finite=False)
    values |= checked_params(network, params, finite=False)
    value_shapes(network, values)
    with np.errstate(all="ignore"):
        y = forward(network, values)[network.output]
    if y.ndim < 2:
        raise ValueError(
            f"the output has shape {y.shape}; accuracy takes one row of outputs for each instance, "
            "an output for each class or a single one"
        )
    labels, K = regular_array("labels", labels), max(2, y.shape[-1])
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels have dtype {labels.dtype}; give integers: labels.astype(int)")
    if labels.shape != y.shape[:-1] or not labels.size:
        raise ValueError(
            f"labels have shape {labels.shape} and the outputs {y.shape}; give one label a row"
        )
    if labels.min() < 0 or labels.max() >= K:
        bad = labels[(labels < 0) | (labels >= K)][0]
        raise ValueError(f"label {bad} is out of range: the outputs have labels 0 to {K - 1}")
    if y.shape[-1] > 1:
        found = y.argmax(axis=-1)
    else:
        divergence = network.divergence
        logits = isinstance(divergence, BinaryCrossEntropy) and divergence.on == "logits"
        found = y[..., 0] > (0.0 if logits else 0.5)
    return float(np.mean((found == labels) & ~np.isnan(y).any(axis=-1)))


def _stopped(
    params: dict[str, Array], epoch_losses: list[Array], tolerance: float | None
) -> str | None:
    """The rule that holds at the end of an epoch, if one does."""
    # Err can stay finite while a parameter does not: a ReLU that is -inf for every instance is 0.
    if not all(np.isfinite(p).all() for p in params.values()):
        return "diverged"
    if tolerance is None or len(epoch_losses) < 2:
        return None
    return "converged" if abs(epoch_losses[-1] - epoch_losses[-2]) < tolerance else None


def _step_sizes(eta: float | Schedule, dtype: np.dtype[Any]) -> Callable[[int], Any]:
    """The step size of step k as a scalar of `dtype`: any other would change the parameters'."""
    if callable(eta):
        return lambda k: _finite_in(dtype, f"eta({k})", eta(k))
    positive("eta", eta)
    fixed = _finite_in(dtype, "eta", eta)
    if fixed == 0:
        raise ValueError(f"eta is {eta}, which is 0 in {dtype}: nothing would move; give more")
    return lambda k: fixed


def _finite_in(dtype: np.dtype[Any], name: str, value: Any) -> Any:
    with np.errstate(over="ignore"):
        eta = dtype.type(value)
    if not 0 <= eta < np.inf:  # a schedule may start, or underflow, at 0
        raise ValueError(f"{name} is {value}, in {dtype} {eta}; give a finite number >= 0")
    return eta


def _check_callback(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(
            f"{name} is {received(value)}; give a function of a number and Err, or None"
        )


def _check_whole(name: str, value: Any, remedy: str, least: int = 1) -> None:
    if not is_whole(value):
        raise TypeError(f"{name} is {received(value)}; give a whole number, {remedy}")
    if value < least:
        raise ValueError(f"{name} is {value}; give {remedy}")
