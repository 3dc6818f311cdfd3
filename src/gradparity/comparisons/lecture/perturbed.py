"""The bound between correct training runs, and the reference that each run is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

from ...adapters.base import Trainer
from ...core.arithmetic.arrays import Array, total
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Kinked, Op
from ...core.lecture.training import risk_of, sgd_step
from ...core.network.backprop import edge_gradients, forward
from ...core.network.batch import sample_rows
from ...core.network.case import Case
from ...core.network.nodes import ERR, TARGET

__all__ = ["PerturbedRuns", "Run", "hand_core"]

K = 4  # perturbed runs
SIGNS = 1 << 17

Seen = Callable[..., Any]


class PerturbedRuns:
    """The distance allowed between correct runs, estimated by Monte Carlo: K = 4 perturbed runs.

    A perturbed run is the hand core in float64, on the same minibatches, in which every value,
    every gradient, Err and every updated parameter is moved in every step, each element by a random
    sign times the most that rounding at the case's dtype may do to it there.  That is what its
    formula gives on `Bounded` arrays, locally, so on exact inputs: in float64 the worst case, in
    float32 10 sigma for long sums.  Rounding moves an implementation by a fraction of that, so a
    perturbed run leaves the core at least as fast.

    The bound at a step is the largest distance of a perturbed run's Err from the core's, over all
    runs and all steps so far: two curves that have parted also cross, and their distance at that
    step does not bound later distances.

    It is an estimate, not a proof: K random perturbations need not contain the worst one.

    The largest rounding error comes from one `Bounded` pass a step, at the core's parameters, for
    all perturbed runs: they are close enough to the core for that.  Where a unit of a perturbed run
    would be on another side of its kink than the core's, it receives the core's value: such jumps
    are not an accumulation of rounding, and are left to `Run`.

    Attributes
    ----------
    largest_distance : by name of a value with a kink: the farthest that any perturbed run has been
        from the core there.
    rounding_error : the same: the most that rounding alone may do to it in this step.

    Raises
    ------
    ValueError : another dtype than float32 and float64, no divergence, or an op that picks winners
        or draws numbers: only the kinks of scalar activations are followed.

    >>> from gradparity.core import *
    >>> net = layered([Affine(3, 8), ReLU(), Affine(8, 2)], L2())
    >>> case = Case.random(net, batch=20, dtype="float32")
    >>> Errs = PerturbedRuns(case, eta=0.1, seed=0).step(np.arange(20), case.params)
    >>> Errs.shape, bool(0 < np.ptp(Errs) / Errs[0] < 1e-4)
    ((4,), True)
    """

    def __init__(self, case: Case, eta: float, seed: int) -> None:
        _check_supported(case)
        self.case, self.eta = case, eta
        self.rounding = Rounding.of(case.dtype, statistical=case.dtype == np.float32)
        rng = np.random.default_rng([seed, 1])  # not the minibatches' stream
        longest = max(math.prod(shape) for shape in case.shapes.values())
        self.signs = rng.choice([-1.0, 1.0], max(SIGNS, 2 * longest))
        self.random = Random(seed)
        self.inputs, self.d = sample_rows(case), case.desired.astype(np.float64)
        self.params = [_float64(case.params) for _ in range(K)]
        self.kinks = [
            (step.inputs[0], kink.at)
            for step in case.network.body
            if isinstance(step.op, Kinked) and step.inputs[0] not in case.inputs
            for kink in step.op.kinks
        ]
        self.kinked = {name for name, _ in self.kinks}
        self.largest_distance = dict.fromkeys(self.kinked, 0.0)
        self.rounding_error = dict.fromkeys(self.kinked, 0.0)

    def step(self, rows: Array, core: Mapping[str, Array]) -> Array:
        """One update of every run, `core` being the core's parameters; Err before it, (K,)."""
        seen: list[tuple[Array, Array | None]] = []

        def record(result: Bounded, name: str = "") -> Array:
            error = result.full_error() if np.any(result.error) else None
            seen.append((result.value, error))
            if name in self.kinked and error is not None:
                self.rounding_error[name] = float(error.max())
            return result.value

        self._update(_float64(core), rows, lambda a: Bounded.exactly(a, self.rounding), record)
        return np.array([self._update(p, rows, np.asarray, self._push(seen)) for p in self.params])

    def at_kinks(self, params: Mapping[str, Array], rows: Array) -> dict[str, Array]:
        """The values that have a kink after them, in the case's own arithmetic."""
        if not self.kinks:
            return {}
        value = forward(self.case.network, {**params, **self.inputs(rows)})
        return {name: value[name] for name in self.kinked}

    def crossed(self, core: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, float]:
        """Values on another side of a kink than the core's -> its largest distance from it."""
        found: dict[str, float] = {}
        for name, kink in self.kinks:
            across = (core[name] > kink) != (other[name] > kink)
            if across.any():
                distance = float(np.abs(core[name][across] - kink).max())
                found[name] = max(distance, found.get(name, 0.0))
        return found

    def undecided(self, value: Mapping[str, Array]) -> bool:
        """Whether rounding alone decides on which side some unit is in this step."""
        return any(
            bool((np.abs(value[name] - kink) <= self.rounding_error[name]).any())
            for name, kink in self.kinks
        )

    def _signs(self, like: Array) -> Array:
        """Random signs, from a random place of a long list: drawing them all anew costs more."""
        start = self.random.randrange(self.signs.size - like.size)
        return self.signs[start : start + like.size].reshape(like.shape)

    def _push(self, seen: list[tuple[Array, Array | None]]) -> Seen:
        """A function that moves its arguments, in the order of `seen`, by + or - their bounds."""
        core = iter(seen)

        def push(value: Array, name: str = "") -> Array:
            at, bound = next(core)
            if bound is not None:
                value = value + self._signs(value) * bound
            if name in self.kinked:
                distance = float(np.abs(value - at).max())
                self.largest_distance[name] = max(self.largest_distance[name], distance)
            for kink in (kink for kinked, kink in self.kinks if kinked == name):
                value = np.where((value > kink) == (at > kink), value, at)
            return value

        return push

    def _update(
        self, params: dict[str, Array], rows: Array, given: Callable[[Any], Any], seen: Seen
    ) -> float:
        """`sgd_step`: every formula evaluated on ``given(inputs)``, its results shown to `seen`."""
        network = self.case.network
        value = {name: given(p) for name, p in params.items()}
        value |= {
            name: given(a.astype(np.float64)) if a.dtype.kind == "f" else a
            for name, a in self.inputs(rows).items()
        }
        value[TARGET] = given(self.d[rows])
        for s in network.steps:
            z = s.named(s.op.forward(*(value[i] for i in s.inputs)))
            value |= {n: seen(a) if n == ERR else given(seen(a, n)) for n, a in z.items()}
        uses: dict[str, list[Array]] = {ERR: [given(np.ones(()))]}
        for source, dy in edge_gradients(network.steps, value, uses):
            uses.setdefault(source, []).append(given(seen(dy)))
        for name in [name for name in uses if name in params]:
            dy = uses[name][0] if len(uses[name]) == 1 else given(seen(total(uses[name])))
            params[name] = seen(value[name] - self.eta * dy)
        return float(value[ERR])


def hand_core(case: Case, eta: float) -> Trainer:
    """The core's own training; ``params()`` are its live arrays."""
    params = {name: p.copy() for name, p in case.params.items()}
    eta, inputs_of = case.dtype.type(eta), sample_rows(case)

    def step(rows: Array) -> float:
        inputs = inputs_of(rows)
        Div = sgd_step(case.network, params, inputs, case.desired[rows], eta)
        return float(risk_of(case.network, Div, inputs))

    return Trainer(step, lambda: params)


class Run:
    """One implementation's training beside its resynchronised reference.

    The reference is a core that starts where all start.  Two correct runs part for good where
    rounding puts a ReLU on the other side of 0: a whole term of a gradient comes or goes, and from
    there on the two losses are not comparable.  So the reference is resynchronised: it takes over
    the implementation's parameters and goes on from them.  That happens before the step in which a
    unit is on another side than its own, and after a step in which a unit is so near its kink that
    it may have gone either way (`PerturbedRuns.rounding_error`), whose update is then not judged.
    A unit on another side that is farther from its kink than rounding has ever moved one
    (`PerturbedRuns.largest_distance`) is a fault.

    Attributes
    ----------
    losses : shape (steps,), Err of each step's minibatch, before its update.
    reference : shape (steps,), the same of the resynchronised reference.
    branch : first step at which a unit is on another side of its kink than in the core's own run,
        evaluated in NumPy on the implementation's parameters; None: never.
    resyncs : steps at which the reference took over the implementation's parameters.
    unexplained : first step at which a unit was on another side although its distance from the kink
        is more than rounding explains; None: never.
    params : the parameters after the last step.
    """

    def __init__(
        self, name: str, trainer: Trainer, perturbed: PerturbedRuns, core: Trainer, steps: int
    ) -> None:
        self.name, self._trainer, self._perturbed, self._core = name, trainer, perturbed, core
        self.losses, self.reference = np.zeros((2, steps), perturbed.case.dtype)
        self.branch: int | None = None
        self.resyncs: list[int] = []
        self.unexplained: int | None = None
        self._either_way = False

    @property
    def params(self) -> Mapping[str, Array]:
        return self._trainer.params()

    def step(self, t: int, rows: Array, core_at_kinks: Mapping[str, Array]) -> None:
        """One update of the implementation and of its reference."""
        perturbed, params = self._perturbed, self.params
        own = perturbed.at_kinks(params, rows)
        if self.branch is None and perturbed.crossed(core_at_kinks, own):
            self.branch = t
        if self._either_way:
            self._resynchronise(t, params)
        crossed = perturbed.crossed(perturbed.at_kinks(self._core.params(), rows), own)
        if any(distance > perturbed.largest_distance[name] for name, distance in crossed.items()):
            self.unexplained = t if self.unexplained is None else self.unexplained
        elif crossed:
            self._resynchronise(t, params)
        self._either_way = perturbed.undecided(own)
        self.losses[t], self.reference[t] = self._trainer.step(rows), self._core.step(rows)

    def _resynchronise(self, t: int, params: Mapping[str, Array]) -> None:
        self.resyncs.append(t)
        for name, p in self._core.params().items():
            p[...] = params[name]


def _float64(params: Mapping[str, Array]) -> dict[str, Array]:
    return {name: p.astype(np.float64) for name, p in params.items()}


def _check_supported(case: Case) -> None:
    if case.dtype not in (np.float32, np.float64):
        raise ValueError(f"the case's dtype is {case.dtype}; give float32 or float64")
    if case.network.divergence is None:
        raise ValueError(
            f"the network ends at {', '.join(case.network.ends)} and has no divergence; training "
            "follows the loss of each sample, so give divergence= instead of ends="
        )
    for step in case.network.body:
        picks_winners = type(step.op).routes is not Op.routes
        if picks_winners or step.op.random:
            raise ValueError(
                f"node {step.name!r}: training with {step.op!r} cannot be compared; only the "
                "branches of scalar activations are followed, `gradparity check` judges the others"
            )
