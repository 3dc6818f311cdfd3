"""How far apart two correct training runs may be by now (`Twins`), from which run (`Follower`)."""

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
from ...core.formulas.maxima import Max, Maximum, MaxSubsets
from ...core.formulas.op import Kinked
from ...core.lecture.training import sgd_step
from ...core.network.backprop import forward
from ...core.network.case import Case
from ...core.network.nodes import ERR, INPUT, TARGET

__all__ = ["Follower", "Twins", "hand_core"]

K = 4  # twins
SIGNS = 1 << 17

Given = Callable[[Any], Any]
Seen = Callable[..., Any]


class Twins:
    """The distance allowed between correct runs, estimated by Monte Carlo: K = 4 perturbed twins.

    A twin is the hand core in float64, on the same minibatches, in which every value, every
    gradient, Err and every updated parameter is moved in every step, each element by a random sign
    times the most that rounding at the case's dtype may do to it there.  That is what its formula
    gives on `Bounded` arrays, locally, so on exact inputs: in float64 the worst case, in float32 10
    sigma for long sums.  A twin is thus pushed several times as hard as an implementation is by its
    rounding, and leaves the core at least as fast.

    The bound at a step is the largest distance of a twin's Err from the core's, over all twins and
    all steps so far.  So far, because two curves that have parted also cross, and how near they
    are at that step says nothing about how far apart they may be.

    It is an estimate, no proof: K random pushes need not contain the worst one.

    The most that rounding may do comes from one `Bounded` pass a step, at the core's parameters,
    for all twins: they are nearer to the core than a bound needs to be known.  A twin whose unit
    would be on another side of its kink than the core's is held on the core's side, by giving the
    unit the core's value there: such jumps are no accumulation of rounding, and are left to
    `Follower`.

    Attributes
    ----------
    room : by name of a value with a kink: the farthest any twin has been from the core there.
    grain : the same: the most that rounding alone may do to it in this step.

    Raises
    ------
    ValueError : another dtype than float32 and float64, or an op that picks winners or draws
        numbers: only the kinks of scalar activations are followed.

    >>> from gradparity.core import *
    >>> net = layered([Affine(3, 8), ReLU(), Affine(8, 2)], L2())
    >>> case = Case.random(net, batch=20, dtype="float32")
    >>> Errs = Twins(case, eta=0.1, seed=0).step(np.arange(20), case.params)
    >>> Errs.shape, bool(0 < np.ptp(Errs) / Errs[0] < 1e-4)
    ((4,), True)
    """

    def __init__(self, case: Case, eta: float, seed: int, k: int = K) -> None:
        _supported(case)
        self.case, self.eta = case, eta
        self.rounding = Rounding.of(case.dtype, statistical=case.dtype == np.float32)
        rng = np.random.default_rng([seed, 1])  # not the minibatches' stream
        largest = max(math.prod(case.shapes[n.name]) for n in case.network.nodes)
        longest = max(largest, *(p.size for p in case.params.values()), case.x.size)
        self.signs = rng.choice([-1.0, 1.0], max(SIGNS, 2 * longest))
        self.random = Random(seed)
        self.x, self.d = case.x.astype(np.float64), case.desired.astype(np.float64)
        self.params = [self._exact(case.params) for _ in range(k)]
        self.kinks = {
            step.inputs[0]: step.op.kinks
            for step in case.network.body
            if isinstance(step.op, Kinked) and step.inputs[0] != INPUT
        }
        self.room = dict.fromkeys(self.kinks, 0.0)
        self.grain = dict.fromkeys(self.kinks, 0.0)

    def step(self, rows: Array, core: Mapping[str, Array]) -> Array:
        """One update of every twin, `core` being the core's parameters; Err before it, (K,)."""
        seen: list[tuple[Array, Array | None]] = []

        def record(result: Bounded, name: str = "") -> Array:
            error = result.full_error() if np.any(result.error) else None
            seen.append((result.value, error))
            if name in self.grain and error is not None:
                self.grain[name] = float(error.max())
            return result.value

        self._update(self._exact(core), rows, self._bounded, record)
        return np.array([self._update(p, rows, _as_is, self._push(seen)) for p in self.params])

    def at_kinks(self, params: Mapping[str, Array], rows: Array) -> dict[str, Array]:
        """The values that have a kink after them, in the case's own arithmetic."""
        if not self.kinks:
            return {}
        value = forward(self.case.network, {**params, INPUT: self.case.x[rows]})
        return {name: value[name] for name in self.kinks}

    def crossed(self, core: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, float]:
        """Where `other` is on another side of a kink: how far the core is from it, at most."""
        found: dict[str, float] = {}
        for name, kinks in self.kinks.items():
            for kink in kinks:
                across = (core[name] > kink.at) != (other[name] > kink.at)
                if across.any():
                    distance = float(np.abs(core[name][across] - kink.at).max())
                    found[name] = max(distance, found.get(name, 0.0))
        return found

    def undecided(self, value: Mapping[str, Array]) -> bool:
        """Whether rounding alone decides on which side some unit is in this step."""
        return any(
            bool((np.abs(value[name] - kink.at) <= self.grain[name]).any())
            for name, kinks in self.kinks.items()
            for kink in kinks
        )

    def _exact(self, params: Mapping[str, Array]) -> dict[str, Array]:
        return {name: p.astype(np.float64) for name, p in params.items()}

    def _bounded(self, array: Array) -> Bounded:
        return Bounded.exactly(array, self.rounding)

    def _signs(self, like: Array) -> Array:
        """Random signs, from a random place of a long list: drawing them all anew costs more."""
        start = self.random.randrange(self.signs.size - like.size)
        return self.signs[start : start + like.size].reshape(like.shape)

    def _push(self, seen: list[tuple[Array, Array | None]]) -> Seen:
        """Moves what it is shown, in the order of `seen`, each element by + or - its bound."""
        core = iter(seen)

        def push(value: Array, name: str = "") -> Array:
            at, bound = next(core)
            if bound is not None:
                value = value + self._signs(value) * bound
            if name in self.kinks:
                self.room[name] = max(self.room[name], float(np.abs(value - at).max()))
                for kink in self.kinks[name]:
                    value = np.where((value > kink.at) == (at > kink.at), value, at)
            return value

        return push

    def _update(self, params: dict[str, Array], rows: Array, given: Given, seen: Seen) -> float:
        """`sgd_step`: every formula evaluated on ``given(inputs)``, its results shown to `seen`."""
        network = self.case.network
        value = {name: given(p) for name, p in params.items()}
        value |= {INPUT: given(self.x[rows]), TARGET: given(self.d[rows])}
        for s in network.steps:
            z = s.op.forward(*(value[i] for i in s.inputs))
            value[s.name] = seen(z) if s.name == ERR else given(seen(z, s.name))
        uses: dict[str, list[Array]] = {ERR: [given(np.ones(()))]}
        for s in reversed(network.steps):
            if s.name not in uses or not (s.parameters or s.needs):
                continue
            y, z = tuple(value[i] for i in s.inputs), value[s.name]
            dz = total(uses[s.name])
            found = s.op.vjp(dz, y, z) if s.needs else s.op.vjp_parameters(dz, y, z)
            n = len(s.inputs) - len(found)
            for i, edge, dy in zip(s.inputs[n:], s.edges[n:], found, strict=True):
                if edge is None or dy is None:
                    continue
                if i in params:
                    params[i] = seen(value[i] - self.eta * given(seen(dy)))
                else:
                    uses.setdefault(i, []).append(given(seen(dy)))
        return float(value[ERR])


def hand_core(case: Case, eta: float) -> Trainer:
    """The core's own training; ``params()`` are its live arrays."""
    params = {name: p.copy() for name, p in case.params.items()}
    eta = case.dtype.type(eta)

    def step(rows: Array) -> float:
        Div = sgd_step(case.network, params, case.x[rows], case.desired[rows], eta)
        return float(case.network.risk(Div))

    return Trainer(step, lambda: params)


class Follower:
    """The core that follows one implementation: what its losses are compared with, step by step.

    It starts where all start.  Two correct runs part for good where rounding puts a ReLU on the
    other side of 0: a whole term of a gradient comes or goes, and from there on the two losses say
    nothing about each other.  So the following core then takes over the implementation's parameters
    and goes on from them: before the step in which a unit is on another side than its own (which is
    a fault where the unit is farther from its kink than rounding has ever moved one, `Twins.room`),
    and after a step in which a unit is so near its kink that it may have gone either way
    (`Twins.grain`), whose update is then not judged.
    """

    def __init__(self, name: str, trainer: Trainer, case: Case, eta: float, twins: Twins) -> None:
        self.name, self.trainer, self.twins = name, trainer, twins
        self.core = hand_core(case, eta)
        self.losses: list[float] = []
        self.followed: list[float] = []
        self.takeovers: list[int] = []
        self.branch: int | None = None
        self.strayed: int | None = None
        self.either_way = False
        self.dtype = case.dtype

    def step(self, t: int, rows: Array, core_at_kinks: Mapping[str, Array]) -> None:
        """One update of the implementation and of the core that follows it."""
        params = self.trainer.params()
        theirs = self.twins.at_kinks(params, rows)
        if self.branch is None and self.twins.crossed(core_at_kinks, theirs):
            self.branch = t
        if self.either_way:
            self._take_over(t, params)
        crossed = self.twins.crossed(self.twins.at_kinks(self.core.params(), rows), theirs)
        if any(distance > self.twins.room[name] for name, distance in crossed.items()):
            self.strayed = t if self.strayed is None else self.strayed
        elif crossed:
            self._take_over(t, params)
        self.either_way = self.twins.undecided(theirs)
        self.losses.append(self.trainer.step(rows))
        self.followed.append(self.core.step(rows))

    def _take_over(self, t: int, params: Mapping[str, Array]) -> None:
        self.takeovers.append(t)
        for name, p in self.core.params().items():
            p[...] = params[name]


def _as_is(array: Any) -> Any:
    return array


def _supported(case: Case) -> None:
    if case.dtype not in (np.float32, np.float64):
        raise ValueError(f"the case's dtype is {case.dtype}; give float32 or float64")
    for step in case.network.body:
        if isinstance(step.op, Max | MaxSubsets | Maximum) or step.op.random:
            raise ValueError(
                f"node {step.name!r}: training with {step.op!r} cannot be compared; only the "
                "branches of scalar activations are followed, `gradparity check` judges the others"
            )
