"""Every function of a framework's namespaces is measured, uncovered, or excluded by a rule."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gradparity.adapters.smooth import Found, NativeSmooth
from gradparity.adapters.smooth_excluded import EXCLUDED, SAME, excluded, with_unmeasured
from gradparity.comparisons.atlas.smooth.truth import FORMULAS

ADAPTERS = {"torch": "TorchSmooth", "jax": "JaxSmooth"}


def of(adapter: str) -> tuple[Found, set[str], dict[str, Any]]:
    """What was found, the measured names, and the namespaces."""
    pytest.importorskip(adapter)
    module = importlib.import_module(f"gradparity.adapters.{adapter}.smooth")
    native = getattr(module, ADAPTERS[adapter])()
    found = native.found(FORMULAS)
    measured = {one.spelling.partition("(")[0] for one in (*found.functions, *native.vectors())}
    spaces = dict(module.SPACES)
    if adapter == "jax":
        spaces |= module.library_spaces()
    return found, measured, spaces


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_function_is_in_one_of_three_places(adapter: str) -> None:
    found, measured, spaces = of(adapter)
    every = {
        f"{space}.{name}": getattr(module, name)
        for space, module in spaces.items()
        for name in dir(module)
        if not name.startswith("_") and not name.endswith("_")
    }
    functions = {k: v for k, v in every.items() if callable(v) and not isinstance(v, type)}
    assert len(functions) > 400
    places = measured, set(found.uncovered), set(found.excluded)
    known = {id(functions[s]) for place in places for s in place if s in functions}
    assert [s for s, native in functions.items() if id(native) not in known] == []
    assert not places[1] & places[2]
    assert not places[0] & (places[1] | places[2])
    assert set(found.excluded.values()) <= {*EXCLUDED, SAME}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_losses_and_activations_are_not_excluded(adapter: str) -> None:
    found, _, _ = of(adapter)
    needless = {"F.nll_loss", "optax.smooth_labels", "optax.make_fenchel_young_loss"}
    needless |= {"torch.nll_loss", "torch.miopen_ctc_loss"}
    others = [s for s, r in found.excluded.items() if r != SAME and s not in needless]
    ends = "_loss", "_entropy", "_divergence", "_distance"
    assert [s for s in others if s.endswith(ends) or s.startswith("optax.")] == []


def test_a_new_function_is_uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    monkeypatch.setattr(functional, "brand_new_loss", lambda x, y: x, raising=False)
    assert "F.brand_new_loss" in of("torch")[0].uncovered


def test_each_function_has_one_place() -> None:
    def double(x: float) -> float:
        return 2 * x

    space: Any = SimpleNamespace(
        double=double, twice=double, reshape=abs, rand_like=abs, swirl=pow, Kind=int, os=ModuleType
    )
    other: Any = SimpleNamespace(swirl=divmod)
    library: Any = SimpleNamespace(swirl=divmod)
    spaces = {"space": space, "other": other, "nnx": library}
    found = with_unmeasured(spaces, [NativeSmooth("double", "space.double(x)", double)])
    assert found.uncovered == ("space.swirl", "nnx.swirl")
    assert dict(found.excluded) == {
        "space.reshape": "moves, copies or selects numbers",
        "space.rand_like": "random",
        "other.swirl": SAME,
    }


@pytest.mark.parametrize(
    "name",
    ["margin_ranking_loss", "convex_kl_divergence", "poly_loss_cross_entropy", "scan_loss", "gelu"],
)
def test_patterns_do_not_reach_too_far(name: str) -> None:
    assert excluded(name) is None
