"""Functions of several numbers over one of them: planted faults are found, right ones are not."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from gradparity import get_adapter
from gradparity.adapters.finds import Asked
from gradparity.comparisons.atlas.smooth.formulas.polynomials import POLYNOMIALS
from gradparity.comparisons.atlas.smooth.formulas.several import SEVERAL
from gradparity.comparisons.atlas.smooth.measured import measured
from gradparity.comparisons.atlas.smooth.regions import Region
from gradparity.comparisons.atlas.smooth.truth import FORMULAS, truth
from gradparity.comparisons.atlas.smooth_probe import probe_smooth

from .test_smooth_regions import Mine

#: Formulas that `finds` and frameworks are held to here, beside those of calls with lists.
NEW = {*SEVERAL, *POLYNOMIALS}


def distances(x: Any) -> tuple[Any, Any]:
    return np.hypot(x + 1e-6, 3 - 1e-6), np.hypot(x + 1e-6, 1 - 1e-6)


def triplet(x: Any, sign: float = 1) -> tuple[Any, Any]:
    far, near = distances(x)
    difference = ((3 - 1e-6) ** 2 - (1 - 1e-6) ** 2) / (far + near)
    return 1 + difference, -sign * (x + 1e-6) / far * difference / near


def subtracted(x: Any) -> tuple[Any, Any]:
    """The slope as a difference of two, which cancels far out."""
    far, near = distances(x)
    return triplet(x)[0], (x + 1e-6) / far - (x + 1e-6) / near


def cosine(x: Any, sign: float = 1) -> tuple[Any, Any]:
    """The cosine embedding loss of target -1, which adds 1e-12 to both squares."""
    near = np.sqrt(1 + 1e-12)
    far = np.hypot(x, near)
    return np.maximum(x / far / near, 0), np.where(x > 0, sign * near / far / far / far, 0)


def found(name: str, function: Any) -> list[Region]:
    regions = measured(Mine(**{name: function}), dtypes=["float64"]).regions
    return [r for r in regions if not r.ill and r.users != "rare"]


@pytest.mark.parametrize(
    ("name", "right"), [("tripletmargin", triplet), ("cosineembedding(x, -1)", cosine)]
)
def test_right_losses_lose_nothing_and_a_wrong_sign_is_found(name: str, right: Any) -> None:
    assert found(name, right) == []
    wrong = found(name, lambda x: right(x, sign=-1))
    assert {r.quantity for r in wrong} == {"derivative"}
    assert max(r.lost for r in wrong) > 15


def test_a_difference_that_cancels_is_found_far_out() -> None:
    regions = found("tripletmargin", subtracted)
    assert {(r.quantity, r.users) for r in regions} == {("derivative", "seen")}
    assert all(abs(r.at) > 20 for r in regions)


@pytest.mark.parametrize(
    ("adapter", "few"),
    [
        ("torch", ["F.triplet_margin_loss([", "F.multi_margin_loss", "F.glu([x", "F.softmin"]),
        ("jax", ["optax.triplet_margin_loss", "optax.kl_divergence([", "nn.glu([x", "poch"]),
    ],
)
def test_frameworks_are_measured(adapter: str, few: list[str]) -> None:
    pytest.importorskip(adapter)
    smooth = probe_smooth(adapter, names=few, dtypes=["float32"]).smooth
    assert smooth is not None
    assert smooth.functions == len(few)
    (spellings,) = [{r.spelling for r in smooth.regions if r.users == "seen" and not r.ill}]
    assert any("triplet" in spelling for spelling in spellings)
    assert not any("glu" in r.spelling and r.users != "rare" for r in smooth.regions)


def results(line: str) -> list[float]:
    """What a line of Python prints; nothing where it raises."""
    out = io.StringIO()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(out):
        exec(line, {})
    return [float(word) for word in out.getvalue().split()]


@pytest.mark.sample(2)
@pytest.mark.parametrize("adapter", ["torch", "jax"])
@pytest.mark.parametrize("quantity", ["value", "derivative"])
def test_frameworks_agree_with_the_formulas_in_lines_of_finds(adapter: str, quantity: str) -> None:
    pytest.importorskip(adapter)
    one: Any = get_adapter(adapter)
    finds = one.finds()
    calls = [
        f
        for f in one.smooth().found(FORMULAS).functions
        if (quantity == "value" or f.slope) and ("[" in f.spelling or f.name in NEW)
    ]
    assert len(calls) > 10
    for native in calls:
        true = float(truth(native.name, quantity, [0.7]).nearest[0])
        modes = ("reverse", "forward", "jit reverse")
        asked = Asked(native.spelling, "0.7", repr(true), "float32", quantity, modes)
        near = (results(line) == pytest.approx([true, true], rel=1e-4, abs=1e-7)
                for line in finds.of_region(asked))  # fmt: skip
        assert any(near), native.spelling
