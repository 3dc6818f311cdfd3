"""Whole training runs side by side: the hand core, PyTorch, JAX, one minibatch after another.

`train_digits` makes the case and the trainers; `trajectories` trains them in lockstep.
`PerturbedRuns` bounds the distance between correct runs, `Run` is compared with its reference.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...adapters.base import Trainer, available, get_adapter, installed
from ...core.arithmetic.arrays import Array
from ...core.lecture.training import accuracy, minibatches
from ...core.network.case import Case
from ..cases.digits import RECIPES, digits, digits_case
from ..report.records import environment
from ..running.progress import Progress, silent
from .perturbed import PerturbedRuns, Run, hand_core

__all__ = ["Trajectories", "train_digits", "trajectories"]

CORE = "core"
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 80
LEGEND = (
    "In percent of the bound: the distance of each run from its resynchronised reference, a core "
    "trained by the same steps, which takes over the run's parameters where rounding may have put "
    "a unit on another side of its kink: from there on two correct runs have different losses."
)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The core's training, the others', and the bound on how far apart they may be.

    Attributes
    ----------
    core : the hand core's own losses, shape (steps,), on the case's parameters.
    runs : the implementations' training.
    bound : shape (steps,), see `PerturbedRuns`.
    skipped : implementation -> the reason why it was not trained.
    params : the core's parameters after the last step.
    accuracy : on held-out samples by name of the run, "core" among them; empty without any.
    about : description of the task and the versions.
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
        """Number of steps, from the first, at which the bound is informative.

        It is so while it is below the core's Err and below the mean change of Err from a step to
        the next so far: a wider one would not even tell one step's loss from another's.
        """
        losses = np.abs(self.core.astype(np.float64))
        change = np.abs(np.diff(losses, prepend=0.0))
        change[1:] = np.cumsum(change[1:]) / np.arange(1, len(change))
        informative = self.bound < np.minimum(change, losses)
        return len(losses) if informative.all() else int(np.argmin(informative))

    def ratios(self, run: Run) -> Array:
        """|Err - Err of the resynchronised reference| / bound, at every judged step."""
        with np.errstate(all="ignore"):
            apart = _apart(run.losses, run.reference)[: self.judged]
            ratio = np.where(apart == 0.0, 0.0, apart / self.bound[: self.judged])
        return np.where(np.isnan(ratio), np.inf, ratio)

    def outside(self, run: Run) -> int | None:
        """The first judged step outside the bound, or with an unexplained branch; None: never."""
        steps = (_first(self.ratios(run) > 1.0), run.unexplained)
        return min((s for s in steps if s is not None and s < self.judged), default=None)

    @property
    def exit_code(self) -> int:
        """0: every run inside; 1: a run outside; 2: nothing compared, or no update judged.

        The loss of step 0 is before the first update.  A core that diverges judges nothing.
        """
        if any(self.outside(run) is not None for run in self.runs):
            return 1
        return 0 if self.runs and self.judged > 1 and np.isfinite(self.core).all() else 2

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__


def train_digits(
    problem: str = "ten",
    *adapters: str,
    dtype: Any = "float32",
    epochs: int | None = None,
    eps: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Trajectories:
    """Train on the digits with the hand core and every adapter, from the same parameters.

    Parameters
    ----------
    problem : "two", "ten" or "eleven"; see `digits`.
    *adapters : names; every installed adapter by default.
    dtype : "float32" or "float64".
    epochs, eps : overrides of the problem's recipe, `RECIPES`.
    seed : seed of the split, the parameters, the minibatches and the perturbed runs.
    progress : called with a message and the fraction of the steps that is done.

    Raises
    ------
    AdapterError : an adapter named here is unknown or its framework is missing.
    ImportError, ValueError, TypeError : as `digits_case` and `trajectories`.

    >>> run = train_digits("two", "torch", "jax", epochs=1)
    >>> run.exit_code
    0
    """
    data = digits(problem, dtype, seed)
    recipe = RECIPES[problem]
    eps = recipe.eps if eps is None else eps
    epochs = recipe.epochs if epochs is None else epochs
    case = digits_case(problem, eps, len(data.x_train), recipe.hidden, dtype, seed)
    chosen = {name: get_adapter(name) for name in adapters} or installed()
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
            f"{case.name} {case.dtype}: 64-{widths}, {epochs} epochs of {case.T} samples in "
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
    test: tuple[Any, Array] | None = None,
    skipped: Mapping[str, str] | None = None,
    progress: Progress = silent,
    about: tuple[str, ...] = (),
) -> Trajectories:
    """Train these beside the hand core, on the same minibatches, and compare the losses.

    Parameters
    ----------
    case : the initial parameters and the training set; float32 or float64.
    trainers : each starting from the case's parameters with this eta, by name.
    batch_size, epochs, seed : as in `minibatches`; the perturbed runs draw their signs from seed
        too.
    test : samples held out, an array or all inputs by name, and their labels.
    skipped, about : as in `Trajectories`.
    progress : called with a message and the fraction of the steps that is done.

    Raises
    ------
    ValueError, TypeError : as `minibatches`; another dtype, or a network with an op that picks
        winners or draws numbers, whose branches are not followed here.

    >>> from gradparity.comparisons.lecture.perturbed import hand_core
    >>> from gradparity.core import *
    >>> net = layered([Affine(3, 8), ReLU(), Affine(8, 2)], L2())
    >>> case = Case.random(net, batch=20, dtype="float32")
    >>> run = trajectories(case, {"mine": hand_core(case, 0.1)}, eta=0.1, batch_size=5, epochs=3)
    >>> run.exit_code, len(run.core), float(run.ratios(run.runs[0]).max())
    (0, 12, 0.0)
    """
    perturbed = PerturbedRuns(case, eta, seed)
    batches = list(minibatches(case.desired.shape[0], batch_size, epochs, seed))
    steps, core = len(batches), hand_core(case, eta)
    runs = tuple(
        Run(name, trainer, perturbed, hand_core(case, eta), steps)
        for name, trainer in trainers.items()
    )
    losses, bound = np.zeros(steps, case.dtype), np.zeros(steps)
    with np.errstate(all="ignore"):
        for t, rows in enumerate(batches):
            spread = perturbed.step(rows, core.params())
            at_kinks = perturbed.at_kinks(core.params(), rows)
            losses[t] = core.step(rows)
            bound[t] = np.abs(spread - losses[t]).max()
            for run in runs:
                run.step(t, rows, at_kinks)
            if (t + 1) * 100 // steps > t * 100 // steps:
                progress(f"training, step {t + 1} of {steps}", (t + 1) / steps)
    found = {CORE: core.params(), **{run.name: run.params for run in runs}} if test else {}
    accuracies = {name: accuracy(case.network, p, *test) for name, p in found.items()}  # type: ignore[misc]
    bound = np.maximum.accumulate(bound)
    return Trajectories(losses, runs, bound, core.params(), skipped or {}, accuracies, about)


def _apart(a: Array, b: Array) -> Array:
    return np.abs(a.astype(np.float64) - b.astype(np.float64))


def _first(where: Array) -> int | None:
    return int(np.argmax(where)) if where.any() else None


def _lines(found: Trajectories) -> Iterator[str]:
    """80 columns: the losses of some steps, the curves, where runs part, and the verdict."""
    yield from (line for about in found.about for line in textwrap.wrap(about, WIDTH))
    yield from (f"skipped: {name} {why}" for name, why in found.skipped.items())
    curves = {CORE: found.core, **{run.name: run.losses for run in found.runs}}
    digits = 9 if found.core.dtype == np.float32 else 13
    wide = digits + 3
    shares = {run.name: found.ratios(run) for run in found.runs}
    names = "".join(f"{name[:11]:>{wide}}{'':5}" for name in shares)
    yield f"\n{'Err at step':<12}{CORE:>{wide}}{names}{'bound':>9}"
    for t in _selected(len(found.core)):
        row = f"{t:<12}{float(found.core[t]):>{wide}.{digits}g}"
        for run in found.runs:
            share = shares[run.name]
            used = f"{100 * share[t]:.0f}%" if t < len(share) else "?"
            row += f"{float(run.losses[t]):>{wide}.{digits}g}{used:>5}"
        yield f"{row}{found.bound[t]:>9.1e}"
    yield from textwrap.wrap(LEGEND, WIDTH)
    yield ""
    yield from (f"{name[:14]:<15}{line}" for name, line in _sparklines(curves))
    yield ""
    for run in found.runs:
        yield from textwrap.wrap(_summary(found, run), WIDTH, subsequent_indent="  ")
    if found.accuracy:
        accuracies = (f"{name} {100 * a:.2f} %" for name, a in found.accuracy.items())
        yield f"held-out accuracy: {', '.join(accuracies)}"
    yield from textwrap.wrap(_verdict(found), WIDTH)


def _summary(found: Trajectories, run: Run) -> str:
    def at(step: int | None) -> str:
        return "never" if step is None else f"at step {step}"

    ratios = found.ratios(run)
    share = f"{ratios.max():.3g} of the bound at step {ratios.argmax()}" if ratios.size else "none"
    n = len(run.resyncs)
    return (
        f"{run.name}: largest difference {share}. From the core's own run: first loss not bitwise "
        f"equal {at(_first(run.losses != found.core))}, first unit on the other side of its kink "
        f"{at(run.branch)}, at most {_apart(run.losses, found.core).max():.1e} apart; {n} "
        f"resync{'s' * (n != 1)} of its reference"
    )


def _verdict(found: Trajectories) -> str:
    if not found.runs:
        return "UNKNOWN  nothing was compared"
    if found.exit_code == 2:
        return "UNKNOWN  the core diverged, or the bound says nothing about any update"
    if found.exit_code == 1:
        left = [(run.name, found.outside(run)) for run in found.runs]
        return "PART  " + ", ".join(
            f"{n} leaves the bound at step {t}" for n, t in left if t is not None
        )
    steps = len(found.core)
    every = f"each of {steps} steps"
    if found.judged < steps:
        every = f"steps 0 to {found.judged - 1} of {steps}; after them the bound says nothing"
    names = ", ".join(run.name for run in found.runs)
    jumps = any(run.resyncs for run in found.runs)
    tail = ", resynchronised where a unit may change sides" if jumps else ""
    return f"AGREE  {names}: within the bound of the core at {every}{tail}"


def _selected(steps: int) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50, ... and the last."""
    marks = [m * 10**e for e in range(9) for m in (1, 2, 5) if m * 10**e < steps - 1]
    return sorted({0, *marks, steps - 1})


def _sparklines(curves: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
    """One line each, all on one scale (log, where positive); a bar is the mean of its steps."""
    parts = min(WIDTH - 15, len(curves[CORE]))
    means = {
        name: np.array([part.mean(dtype=np.float64) for part in np.array_split(curve, parts)])
        for name, curve in curves.items()
    }
    finite = np.concatenate(list(means.values()))
    finite = finite[np.isfinite(finite)]
    if (finite > 0.0).all():
        means = {name: np.log(mean) for name, mean in means.items()}
        finite = np.log(finite)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    for name, mean in means.items():
        height = (mean - low) / (high - low) if high > low else np.zeros(parts)
        yield name, "".join(BARS[int(7.99 * h)] if np.isfinite(h) else "?" for h in height)
