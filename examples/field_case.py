"""What the reported problems in field_ports.py and field_functions.py share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import gradparity as gp


class Answers(NamedTuple):
    """What the product says on one case.

    Attributes
    ----------
    wrong : the report on the code with the fault; None if the case has only correct code.
    right : the reports on correct code.
    """

    wrong: gp.Report | None
    right: tuple[gp.Report, ...]


class FieldCase(NamedTuple):
    """One case.

    Attributes
    ----------
    symptom, call : what its user saw, and what the user calls.
    answers : run it.
    """

    symptom: str
    call: str
    answers: Callable[[], Answers]


CASES: dict[str, FieldCase] = {}


def case(symptom: str, call: str) -> Callable[[Callable[[], Answers]], Callable[[], Answers]]:
    """Add a case under the name of its function."""

    def add(answers: Callable[[], Answers]) -> Callable[[], Answers]:
        CASES[answers.__name__.upper()] = FieldCase(symptom, call, answers)
        return answers

    return add


def aligned(original: Any, port: Any, args: Any, there: Any = None, **options: Any) -> gp.Report:
    """Compare two programs; `there` are the arguments of the second one, if they are others."""
    one = gp.record(original, *args, name="original", keep=True)
    given = args if there is None else there
    return gp.align(one, gp.record(port, *given, name="port", keep=True, **options))


def checked(f: Any, *args: Any, **options: Any) -> gp.Report:
    """Judge one function."""
    return gp.check(gp.record(f, *args, **options))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(a: Any) -> Tensor:
    """A tensor that takes a gradient."""
    return torch.tensor(a, requires_grad=True)


def function(forward: Any, backward: Any, name: str) -> Any:
    """An `autograd.Function`, applied."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), methods).apply
