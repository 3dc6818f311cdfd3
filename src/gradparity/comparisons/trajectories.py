"""Whole training runs side by side: the hand core, PyTorch, JAX, one step after another.

Read from the top: `train_digits` makes the case and the trainers, `trajectories` trains them in
lockstep, and `Twins` says how far apart correct implementations may be by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..adapters.base import AdapterError, Trainer, adapter, available, installed
from ..core.arrays import Array
from ..core.backprop import forward, risk, risk_gradient, total
from ..core.bounded import Bounded, Rounding
from ..core.case import Case
from ..core.network import INPUT, Network
from ..core.op import Kinked
from ..core.training import accuracy, minibatches, sgd_step
from .digits import RECIPES, digits, digits_case
from .report import environment

__all__ = ["Run", "Trajectories", "Twins", "hand_core", "train_digits", "trajectories"]

#: Perturbed twins of the core; see `Twins`.
K = 4


@dataclass(frozen=True, eq=False)
class Run:
    """One implementation's training next to the core's.

    Attributes
    ----------
    losses : shape (steps,), Err of each step's minibatch, before its update.
    params : the parameters after the last step.
    branch : the first step at which some unit is on another side of its kink than in the core,
        evaluated in NumPy on the implementation's own parameters; None: never.
    """

    name: str
    losses: Array
    params: Mapping[str, Array]
    branch: int | None = None


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The core's run, the others', and the bound on how far apart they may be.

    Attributes
    ----------
    core, runs : the hand core's training, and each implementation's.
    bound : shape (steps,), see `Twins`.
    accuracy : on instances not trained on, by name of the run; empty if there were none.
    skipped : implementation -> why it was not trained.
    """

    case: Case
    core: Run
    runs: tuple[Run, ...]
    bound: Array
    skipped: Mapping[str, str]
    accuracy: Mapping[str, float]
    about: str
    versions: Mapping[str, str]

    @property
    def judged(self) -> int:
        """Number of steps, from the first, at which the bound says something.

        It does while it is smaller than the core's Err and than the mean change of Err from a step
        to the next so far: beyond that it would not tell one step's loss from another's.
        """
        losses = self.core.losses.astype(np.float64)
        change = np.abs(np.diff(losses, prepend=0.0))
        change[1:] = np.cumsum(change[1:]) / np.arange(1, len(losses))
        informative = self.bound < np.minimum(change, np.abs(losses))
        return len(losses) if informative.all() else int(np.argmin(informative))

    def ratios(self, run: Run) -> Array:
        """|Err - the core's Err| / bound at every judged step; infinite where Err is not finite."""
        losses, core = (r.losses[: self.judged].astype(np.float64) for r in (run, self.core))
        with np.errstate(all="ignore"):
            apart = np.abs(losses - core)
            ratio = np.where(apart == 0.0, 0.0, apart / self.bound[: self.judged])
        return np.where(np.isnan(ratio), np.inf, ratio)

    def outside(self, run: Run) -> int | None:
        """The first step at which the run is outside the bound."""
        beyond = np.flatnonzero(self.ratios(run) > 1.0)
        return int(beyond[0]) if beyond.size else None

    @property
    def exit_code(self) -> int:
        """0: every run inside the bound; 1: a run outside; 2: nothing compared or judged."""
        if any(self.outside(run) is not None for run in self.runs):
            return 1
        return 0 if self.runs and self.judged else 2

    def __bool__(self) -> bool:
        return self.exit_code == 0


class Twins:
    """How far apart correct implementations may be, by Monte Carlo: K = 4 perturbed twins.

    A twin is the hand core in float64 arithmetic, on the same minibatches, in which every value,
    every gradient, Err and every updated parameter is moved, elementwise and in every step, by a
    random sign times the most that rounding at the dtype may do to it there.  That is what the same
    formula gives on `Bounded` arrays, locally: each op on exact inputs.  In float64 it is the worst
    case; in float32 sums count 10 sigma.  So a twin is pushed several times as hard as an
    implementation's rounding pushes it, and leaves the core at least as fast.

    The bound at a step is the largest \\|Err of a twin - Err of the core\\| over the twins and over
    all steps so far: so far, because two curves that have parted cross again by chance, and the
    distance at that step would say nothing about how far apart they are.

    It is an estimate, not a proof: K random pushes need not contain the worst one.

    Of `Bounded` arithmetic there is one pass per step, on the core's parameters, and all twins use
    its bounds: they see the same minibatch, and their values differ from the core's by far less
    than a bound needs to be known.
    """

    def __init__(self, case: Case, eta: float, seed: int, k: int = K) -> None:
        self.case, self.eta = case, eta
        self.rounding = Rounding.of(case.dtype, statistical=case.dtype == np.float32)
        self.rng = np.random.default_rng([seed, 1])  # not the stream of the minibatches
        self.x, self.desired = case.x.astype(np.float64), case.desired.astype(np.float64)
        start = {name: p.astype(np.float64) for name, p in case.params.items()}
        self.params = [dict(start) for _ in range(k)]

    def step(self, rows: Array, core: Mapping[str, Array]) -> Array:
        """One update of every twin, `core` being the core's parameters; Err before it, shape (K,)."""
        bounds: list[Any] = []
        given = {name: p.astype(np.float64) for name, p in core.items()}
        self._step(given, rows, lambda a: Bounded.exactly(a, self.rounding), _recorder(bounds))
        return np.array([self._step(p, rows, _as_it_is, self._push(bounds)) for p in self.params])

    def _push(self, bounds: list[Any]) -> Callable[[Any], Any]:
        """Moves what it is shown, in the order of `bounds`, each element by +-its bound."""
        each: Iterator[Any] = iter(bounds)

        def push(value: Any) -> Any:
            bound = next(each)
            if bound is None:
                return value
            sign = self.rng.integers(0, 2, value.shape, np.int8) * 2 - 1
            return value + sign * bound

        return push

    def _step(self, params: dict[str, Array], rows: Array, given: Any, seen: Any) -> float:
        """`sgd_step`, each formula evaluated on ``given(its inputs)``, and shown to `seen`."""
        network, d = self.case.network, given(self.desired[rows])
        value = {INPUT: self.x[rows]}
        own = {s.name: {k: given(params[full]) for k, full in s.parameters.items()} for s in network.steps}
        for s in network.steps:
            value[s.name] = seen(s.op.forward(own[s.name], *(given(value[i]) for i in s.inputs)))
        y, divergence = given(value[network.output]), network.divergence
        Div = given(seen(divergence.forward(y, d)))
        Err = seen(risk(Div, network.reduction))
        dDiv = given(seen(risk_gradient(Div, network.reduction)))
        uses = {network.output: [seen(divergence.backward(dDiv, y, d, Div))]}
        gradients = {}
        for s in reversed(network.steps):
            if s.name not in uses or not (s.parameters or s.needs):
                continue
            z, dz = given(value[s.name]), given(total(uses[s.name]))
            inputs = tuple(given(value[i]) for i in s.inputs)
            for letter, gradient in s.op.gradients(dz, own[s.name], inputs, z).items():
                gradients[s.parameters[letter]] = seen(gradient)
            if s.needs:
                for source, dy in zip(s.inputs, s.op.backward(dz, own[s.name], inputs, z), strict=True):
                    uses.setdefault(source, []).append(seen(dy))
        for name, gradient in gradients.items():
            params[name] = seen(given(params[name]) - self.eta * given(gradient))
        return float(Err)


def _recorder(bounds: list[Any]) -> Callable[[Bounded], Array]:
    def record(result: Bounded) -> Array:
        bounds.append(result.full_error() if np.any(result.error) else None)
        return result.value

    return record


def _as_it_is(array: Any) -> Any:
    return array


def hand_core(case: Case, eta: float) -> Trainer:
    """The core's own training, in the case's dtype."""
    params = {name: p.copy() for name, p in case.params.items()}
    eta = case.dtype.type(eta)

    def step(rows: Array) -> float:
        Div = sgd_step(case.network, params, case.x[rows], case.desired[rows], eta)
        return float(risk(Div, case.network.reduction))

    return Trainer(step, lambda: params)


def _branches(network: Network, params: Mapping[str, Array], x: Array) -> list[Array]:
    """On which side of each of its kinks every unit is."""
    value = forward(network, params, x)
    return [
        value[step.inputs[0]] > kink.at
        for step in network.steps
        if isinstance(step.op, Kinked)
        for kink in step.op.kinks
    ]


def trajectories(
    case: Case,
    trainers: Mapping[str, Trainer],
    *,
    eta: float,
    batch_size: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    progress: Callable[[float], object] = lambda done: None,
):
    batches = list(minibatches(case.T, batch_size, epochs, seed))
    core, twins = hand_core(case, eta), Twins(case, eta, seed)
    everyone = {"core": core, **trainers}
    losses = {name: np.zeros(len(batches), case.dtype) for name in everyone}
    bound = np.zeros(len(batches))
    parted: dict[str, int] = {}
    with np.errstate(all="ignore"):
        for t, rows in enumerate(batches):
            together = [name for name in trainers if name not in parted]
            if together:
                mine = _branches(case.network, core.params(), case.x[rows])
            for name in together:
                theirs = _branches(case.network, trainers[name].params(), case.x[rows])
                if any((a != b).any() for a, b in zip(mine, theirs, strict=True)):
                    parted[name] = t
            spread = twins.step(rows, core.params())
            for name, trainer in everyone.items():
                losses[name][t] = trainer.step(rows)
            bound[t] = np.abs(spread - losses["core"][t]).max()
            progress((t + 1) / len(batches))
    bound = np.maximum.accumulate(bound)
    return losses, bound, parted, everyone
