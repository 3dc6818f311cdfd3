"""Whole training runs side by side: the hand core, PyTorch, JAX, one minibatch after another.

`train_digits` makes the case and the trainers; `trajectories` trains them in lockstep.  `Twins` says
how far apart correct implementations may be by then, `Follower` what each is compared with.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..adapters.base import Trainer, adapter, available, installed
from ..core.arrays import Array
from ..core.backprop import risk
from ..core.case import Case
from ..core.training import accuracy, minibatches, sgd_step
from .digits import RECIPES, digits, digits_case
from .report import environment
from .twins import Twins

__all__ = ["Follower", "Run", "Trajectories", "hand_core", "train_digits", "trajectories"]

CORE = "core"
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, eq=False)
class Run:
    """One implementation's training, and the core's that followed it; see `Follower`.

    Attributes
    ----------
    losses : shape (steps,), Err of each step's minibatch, before its update.
    followed : shape (steps,), the same of the core that followed.
    branch : first step at which a unit is on another side of its kink than in the core's own run,
        evaluated in NumPy on the implementation's parameters; None: never.
    takeovers : steps at which the following core took over the implementation's parameters.
    strayed : first step at which a unit was on another side although its distance from the kink is
        more than rounding explains; None: never.
    params : the parameters after the last step.
    """

    name: str
    losses: Array
    followed: Array
    branch: int | None
    takeovers: tuple[int, ...]
    strayed: int | None
    params: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The core's training, the others', and the bound on how far apart they may be.

    Attributes
    ----------
    core : the hand core's own losses, shape (steps,), on the case's parameters.
    runs : the implementations' training.
    bound : shape (steps,), see `Twins`.
    skipped : implementation -> why it was not trained.
    params : the core's parameters after the last step.
    accuracy : on held-out instances by name of the run, "core" among them; empty without any.
    about : what was trained and with what.
    """

    core: Array
    runs: tuple[Run, ...]
    bound: Array
    params: Mapping[str, Array]
    skipped: Mapping[str, str]
    accuracy: Mapping[str, float]
    about: tuple[str, ...] = ()

    @property
    def judged(self) -> int:
        """Number of steps, from the first, at which the bound says something.

        It does while it is below the core's Err and below the mean change of Err from a step to
        the next so far: a wider one would not even tell one step's loss from another's.
        """
        losses = np.abs(self.core.astype(np.float64))
        change = np.abs(np.diff(losses, prepend=0.0))
        change[1:] = np.cumsum(change[1:]) / np.arange(1, len(change))
        informative = self.bound < np.minimum(change, losses)
        return len(losses) if informative.all() else int(np.argmin(informative))

    def ratios(self, run: Run) -> Array:
        """|Err - Err of the following core| / bound, at every judged step."""
        with np.errstate(all="ignore"):
            apart = _apart(run.losses, run.followed)[: self.judged]
            ratio = np.where(apart == 0.0, 0.0, apart / self.bound[: self.judged])
        return np.where(np.isnan(ratio), np.inf, ratio)

    def outside(self, run: Run) -> int | None:
        """The first judged step at which the run is outside its bound or strayed; None: never."""
        first = _first(self.ratios(run) > 1.0)
        strayed = run.strayed if run.strayed is not None and run.strayed < self.judged else None
        return min((s for s in (first, strayed) if s is not None), default=None)

    @property
    def exit_code(self) -> int:
        """0: every run inside the bound; 1: a run outside; 2: nothing compared, or not judged."""
        if any(self.outside(run) is not None for run in self.runs):
            return 1
        return 0 if self.runs and self.judged else 2

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        return "\n".join(_text(self))

    __repr__ = __str__


def train_digits(
    problem: str = "ten",
    *adapters: str,
    dtype: Any = "float32",
    epochs: int | None = None,
    eps: float | None = None,
    seed: int = 0,
    progress: Callable[[float], object] = lambda done: None,
) -> Trajectories:
    """Train on the digits with the hand core and every adapter, from the same parameters.

    Parameters
    ----------
    problem : "two", "ten" or "eleven"; see `digits`.
    *adapters : names; every installed adapter by default.
    dtype : "float32" or "float64".
    epochs, eps : other than the problem's recipe, `RECIPES`.
    seed : of the split, the parameters, the minibatches and the twins.
    progress : told the fraction done.

    Raises
    ------
    AdapterError : an adapter named here is unknown or its framework is missing.
    ImportError, ValueError, TypeError : as `digits_case` and `trajectories`.

    >>> run = train_digits("two", "torch", "jax", epochs=1)  # doctest: +SKIP
    >>> run.exit_code  # doctest: +SKIP
    0
    """
    data = digits(problem, dtype, seed)
    recipe = RECIPES[problem]
    eps = recipe.eps if eps is None else eps
    epochs = recipe.epochs if epochs is None else epochs
    case = digits_case(problem, eps, len(data.x_train), recipe.hidden, dtype, seed)
    chosen = {name: adapter(name) for name in adapters} or installed()
    skipped = {name: "not installed" for name in available() if not adapters and name not in chosen}
    skipped |= {name: "has no trainer" for name, a in chosen.items() if not hasattr(a, "trainer")}
    trainers = {
        name: a.trainer(case, recipe.eta)  # type: ignore[attr-defined]
        for name, a in chosen.items()
        if name not in skipped
    }
    versions = [f"{k} {v}" for a in chosen.values() for k, v in a.versions().items()]
    used = [f"{k} {environment()[k]}" for k in ("gradparity", "numpy")]
    widths = "-".join(str(case.params[f"b{k}"].size) for k in (1, 2))
    return trajectories(
        case, trainers, eta=recipe.eta, batch_size=recipe.batch_size, epochs=epochs, seed=seed,
        test=(data.x_test, data.labels_test), skipped=skipped, progress=progress,
        about=(
            " · ".join([*used, *versions]),
            f"{case.name} {case.dtype}: 64-{widths}, {epochs} epochs of {case.T} instances in "
            f"minibatches of {recipe.batch_size}, eta {recipe.eta:g}, eps {eps:g}, seed {seed}",
        ),
    )  # fmt: skip


def trajectories(
    case: Case,
    trainers: Mapping[str, Trainer],
    *,
    eta: float,
    batch_size: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    test: tuple[Array, Array] | None = None,
    skipped: Mapping[str, str] | None = None,
    progress: Callable[[float], object] = lambda done: None,
    about: tuple[str, ...] = (),
) -> Trajectories:
    """Do these trainers go where the hand core goes?  All see the same minibatches.

    Parameters
    ----------
    case : the initial parameters and the training set; float32 or float64.
    trainers : each starting from the case's parameters with this eta, by name.
    batch_size, epochs, seed : as in `minibatches`; the twins draw their signs from seed too.
    test : instances held out and their labels.

    Raises
    ------
    ValueError, TypeError : as `minibatches`; another dtype, or a network with an op that picks
        winners or draws numbers, whose branches are not followed here.

    >>> from gradparity.core import *
    >>> net = layered([Affine(3, 8), ReLU(), Affine(8, 2)], L2())
    >>> case = Case.random(net, batch=20, dtype="float32")
    >>> run = trajectories(case, {"mine": hand_core(case, 0.1)}, eta=0.1, batch_size=5, epochs=3)
    >>> run.exit_code, len(run.core), float(run.ratios(run.runs[0]).max())
    (0, 12, 0.0)
    """
    batches = list(minibatches(case.T, batch_size, epochs, seed))
    core, twins = hand_core(case, eta), Twins(case, eta, seed)
    followers = [Follower(name, trainer, case, eta, twins) for name, trainer in trainers.items()]
    losses = np.zeros(len(batches), case.dtype)
    bound = np.zeros(len(batches))
    with np.errstate(all="ignore"):
        for t, rows in enumerate(batches):
            spread = twins.step(rows, core.params())
            at_kinks = twins.at_kinks(core.params(), rows)
            losses[t] = core.step(rows)
            bound[t] = np.abs(spread - losses[t]).max()
            for follower in followers:
                follower.step(t, rows, at_kinks)
            if (t + 1) * 100 // len(batches) > t * 100 // len(batches):
                progress((t + 1) / len(batches))
    runs = tuple(follower.run() for follower in followers)
    found = {CORE: core.params(), **{run.name: run.params for run in runs}} if test else {}
    accuracies = {name: accuracy(case.network, p, *test) for name, p in found.items()}  # type: ignore[misc]
    bound = np.maximum.accumulate(bound)
    return Trajectories(losses, runs, bound, core.params(), skipped or {}, accuracies, about)


def hand_core(case: Case, eta: float) -> Trainer:
    """The core's own training; ``params()`` are its live arrays."""
    params = {name: p.copy() for name, p in case.params.items()}
    eta = case.dtype.type(eta)

    def step(rows: Array) -> float:
        Div = sgd_step(case.network, params, case.x[rows], case.desired[rows], eta)
        return float(risk(Div, case.network.reduction))

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

    def run(self) -> Run:
        return Run(
            self.name, np.array(self.losses, self.dtype), np.array(self.followed, self.dtype),
            self.branch, tuple(self.takeovers), self.strayed, self.trainer.params(),
        )  # fmt: skip


def _apart(a: Array, b: Array) -> Array:
    return np.abs(a.astype(np.float64) - b.astype(np.float64))


def _first(where: Array) -> int | None:
    return int(np.argmax(where)) if where.any() else None


def _text(found: Trajectories) -> Iterator[str]:
    """80 columns: losses of selected steps, the curves, who parted where, and the verdict."""
    yield from (line for said in found.about for line in textwrap.wrap(said, WIDTH))
    for name, why in found.skipped.items():
        yield f"skipped: {name} {why}"
    curves = {CORE: found.core, **{run.name: run.losses for run in found.runs}}
    digits = 9 if found.core.dtype == np.float32 else 13
    yield ""
    yield f"{'Err at step':<11}" + "".join(f"{name[:14]:>16}" for name in curves) + f"{'bound':>10}"
    for t in _selected(len(found.core)):
        row = "".join(f"{float(curve[t]):>16.{digits}g}" for curve in curves.values())
        yield f"{t:<11}{row}{found.bound[t]:>10.1e}"
    yield ""
    yield from (f"{name[:14]:<15}{_sparkline(curve, curves)}" for name, curve in curves.items())
    yield ""
    for run in found.runs:
        yield from _told(found, run)
    if found.accuracy:
        said = ", ".join(f"{name} {100 * a:.2f} %" for name, a in found.accuracy.items())
        yield f"held-out accuracy: {said}"
    yield _verdict(found)


def _told(found: Trajectories, run: Run) -> Iterator[str]:
    apart = _apart(run.losses, found.core)
    bitwise = _first(run.losses != found.core)
    where = "never" if bitwise is None else f"at step {bitwise}"
    branch = "never" if run.branch is None else f"at step {run.branch}"
    yield (
        f"{run.name}: first loss not bitwise the core's {where}; first unit on the other side of "
        f"its kink {branch}"
    )
