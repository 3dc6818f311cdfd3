"""`check_optimizer`: the steps of an optimizer against the rule that it should follow."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import check_text, received
from ...core.optimizers.clipping import Clip
from ...core.optimizers.rule import Rule
from ...core.optimizers.update import Moved, Update
from ..findings.finding import Finding, Verdict
from ..report.records import Run, environment
from ..report.report import Report
from .causes import cause_of
from .evaluated import change_of
from .judge import NO_RATE, findings_of_parameter, is_without_rate

__all__ = ["check_optimizer"]

#: Powers of ten of the random gradients: below, an eps of 1e-8 shows.
SIZES = (-8.0, 0.0)
#: The upper part of them that the largest element of every parameter is in.
LARGEST = 1 / 8


def check_optimizer(
    optimizer: Any,
    params: Any = None,
    gradients: Any = None,
    *,
    rule: Rule | None = None,
    clip: Clip | None = None,
    steps: int = 5,
    seed: int = 0,
    name: str = "optimizer",
) -> Report:
    """Judge what an optimizer does to every parameter and every state of it, step by step.

    Each step is held to the rule, derived by hand, on the numbers that the optimizer itself had
    before it; the bound is that of the rounding.  The change of a parameter is judged by its state
    after the step, so that a wrong state is not blamed on the parameter.  A wrong step is compared
    with mistakes that are often made (eps inside of the root, no bias correction, a coupled weight
    decay, a learning rate that is a factor off, a state that is one step old, ...).

    Parameters
    ----------
    optimizer : one of `torch.optim` or derived from it, of which a copy makes the steps, with a
        copy of its parameters; or a transformation of Optax.
    params : PyTorch: a module that names the parameters, or None.  Optax: the parameters, any
        pytree.
    gradients : Optax: those of the first step.  PyTorch takes `.grad` of the parameters, if there.
        All others are drawn, of sizes between 1e-8 and 1.
    rule : one of `gradparity.optimizers`.  None: that of the class of `torch.optim`, with its
        settings.  A transformation of Optax does not tell its settings.
    clip : Optax: what is done to the gradients first.
    steps : how many to make.
    seed : of the gradients that are drawn.
    name : shown in reports.

    Returns
    -------
    Report with one run per step: "update fc.weight" for the change of a parameter, and
    "value fc.weight.exp_avg" for a state.

    Raises
    ------
    TypeError, ValueError : an argument that does not fit; no rule for the optimizer.

    >>> import gradparity as gp, torch
    >>> model = torch.nn.Linear(3, 2)
    >>> gp.check_optimizer(torch.optim.AdamW(model.parameters()), model).exit_code
    0
    >>> import optax
    >>> wrong = gp.check_optimizer(optax.adam(1e-3), {"w": np.ones(3, np.float32)},
    ...                            rule=gp.optimizers.Adam(1e-3, eps=1e-6))
    >>> wrong.exit_code
    1
    """
    check_text("name", name)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"check_optimizer: steps is {received(steps)}; give 1 or more")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"check_optimizer: seed is {received(seed)}; give 0 or more")
    if rule is not None and not isinstance(rule, Rule):
        raise TypeError(
            f"check_optimizer: rule is {received(rule)}; give one of gradparity.optimizers, such "
            "as gradparity.optimizers.Adam(1e-3)"
        )
    if clip is not None and not isinstance(clip, Clip):
        raise TypeError(
            f"check_optimizer: clip is {received(clip)}; give one of gradparity.optimizers, such "
            "as gradparity.optimizers.ClipByNorm(1.0)"
        )
    draw = _Draw(seed)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(optimizer, torch.optim.Optimizer):
        made, framework = _of_torch(optimizer, params, gradients, rule, clip, steps, draw), "torch"
        version = torch.__version__
    elif hasattr(optimizer, "init") and hasattr(optimizer, "update"):
        made, framework = _of_optax(optimizer, params, gradients, rule, clip, steps, draw), "optax"
        version = sys.modules["optax"].__version__ if "optax" in sys.modules else ""
    else:
        raise TypeError(
            f"check_optimizer: optimizer is {received(optimizer)}; give one of torch.optim, or a "
            "gradient transformation of Optax"
        )
    runs = _runs(_linked(made), name, framework)
    return Report(runs, (), {}, {**environment(), framework: version})


class _Draw:
    """Random gradients whose elements have sizes from 1e-8 to 1."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, shape: tuple[int, ...]) -> NDArray:
        power = self.rng.uniform(*SIZES, shape)
        if power.size:  # no step of a small parameter is smaller than its rounding
            largest = np.unravel_index(power.argmax(), shape)
            power[largest] = SIZES[1] + (power[largest] - SIZES[1]) * LARGEST
        size = 10.0**power
        return np.asarray(size * self.rng.choice([-1.0, 1.0], shape))


def _of_torch(
    optimizer: Any, module: Any, gradients: Any, rule: Any, clip: Any, steps: int, draw: Any
) -> Iterator[list[Update]]:
    from ...adapters.torch.optimizers import steps_of

    if gradients is not None or clip is not None:
        raise TypeError("check_optimizer: gradients and clip are for Optax; PyTorch takes .grad")
    if module is not None and not hasattr(module, "named_parameters"):
        raise TypeError(f"check_optimizer: params is {received(module)}; give the module")
    return steps_of(optimizer, module, rule, steps, draw)


def _of_optax(
    transformation: Any, params: Any, gradients: Any, rule: Any, clip: Any, steps: int, draw: Any
) -> Iterator[list[Update]]:
    from ...adapters.jax.optimizers import steps_of

    if rule is None:
        raise TypeError("check_optimizer: a transformation of Optax does not tell its settings; "
                        "give rule=, such as rule=gradparity.optimizers.Adam(1e-3)")  # fmt: skip
    if params is None:
        raise TypeError("check_optimizer: params is None; give the parameters of the model")
    return steps_of(transformation, params, gradients, rule, clip, steps, draw)


def _linked(made: Iterator[list[Update]]) -> list[list[Update]]:
    """The steps, each parameter with its step before where its states are not known."""
    steps: list[list[Update]] = []
    past: dict[str, Moved] = {}
    for updates in made:
        linked = []
        for update in updates:
            moved = tuple(replace(m, previous=past.get(m.name)) for m in update.parameters)
            past |= {m.name: m for m in moved}
            linked.append(replace(update, parameters=moved))
        steps.append(linked)
    return steps


def _runs(steps: list[list[Update]], name: str, framework: str) -> tuple[Run, ...]:
    found: list[list[Finding]] = []
    moving = {m.name for us in steps for u in us for m in u.parameters if not is_without_rate(u, m)}
    for updates in steps:
        found.append([])
        for update in updates:
            for moved in update.parameters:
                for f in findings_of_parameter(update, moved, moved.name):
                    if f.note == NO_RATE and moved.name in moving:
                        # Other steps test it; this one leaves it as it is, as it should.
                        f = replace(f, verdict=Verdict.EXACT, note="lr is 0 in this step")
                    final = f.quantity == change_of(moved.name) and bool(np.any(moved.gradient))
                    found[-1].append(replace(f, final=final))
    notes = _notes(steps, [f for findings in found for f in findings])
    runs = []
    for i, (updates, findings) in enumerate(zip(steps, found, strict=True)):
        formats = Counter(m.precision for u in updates for m in u.parameters)
        dtype = max(formats, key=formats.__getitem__, default="float32")
        noted = (
            replace(f, note=notes.get(f.node, f.note)) if f.parity is False else f for f in findings
        )
        runs.append(Run(f"{name}, step {i + 1}", framework, dtype, tuple(noted)))
    return tuple(runs)


def _notes(steps: list[list[Update]], findings: list[Finding]) -> dict[str, str]:
    """The mistake that explains all steps, for every parameter that is wrong in one."""
    wrong = dict.fromkeys(f.node for f in findings if f.parity is False)
    notes: dict[str, str] = {}
    groups: dict[int, list[Update]] = {}
    for updates in steps:
        for i, update in enumerate(updates):
            groups.setdefault(i, []).append(update)
    for updates in groups.values():
        names = [m.name for m in updates[0].parameters if m.name in wrong]
        cause = cause_of(updates, names)
        for each in names:
            said = cause or cause_of(updates, [each])
            if said:
                notes[each] = said
    return notes
