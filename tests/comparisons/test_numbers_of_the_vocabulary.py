"""Another number of an op of the vocabulary is recovered from what it computed, and named."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from gradparity.comparisons import judge
from gradparity.comparisons.cases.vocabulary import VOCABULARY
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED, Shaped
from gradparity.core import backprop

#: Numbers that select elements, where nothing is smooth, and one that no element of its case shows.
#: Momentum, which changes states alone, and the share of a dropout are told in other words.
UNTOLD = {"Hardshrink.l", "Threshold.t", "Hardtanh.high", "L2Normalise.eps", "BatchNorm.momentum",
          "Dropout.p", "Scale.b"}  # fmt: skip


def numbers() -> dict[str, tuple[Shaped, str]]:
    """The numbers that ops are made with, each with a case."""
    found: dict[str, tuple[Shaped, str]] = {}
    for shaped in {**SHAPED, **VOCABULARY}.values():
        op: Any = getattr(shaped, "op", None)
        for f in fields(op) if is_dataclass(op) else ():
            if isinstance(getattr(op, f.name), float) and f.name != "subgradient":
                found.setdefault(f"{type(op).__name__}.{f.name}", (shaped, f.name))
    return {key: at for key, at in found.items() if key not in UNTOLD}


@pytest.mark.parametrize("key", numbers())
def test_another_number_is_named(key: str) -> None:
    shaped, name = numbers()[key]
    own = getattr(shaped.op, name)
    other: Any = replace(shaped.op, **{name: 1.7 * own if own else 0.037})  # type: ignore[type-var]
    found = judge(shaped.case(), backprop(replace(shaped, op=other).case()))
    notes = {f.note for f in found if f.parity is False}
    wanted = f"right with {name} = {getattr(other, name):.6g}, where the network has {name} = {own}"
    assert wanted in notes


def test_there_are_enough_of_them() -> None:
    assert len(numbers()) > 15
