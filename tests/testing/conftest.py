"""The zoo of broken adapters, loaded under its name, and what they leave changed put back."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.adapters.base import GROUP
from gradparity.testing.conformance import subject, trace


def _load(name: str) -> Any:
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    sys.modules[name] = module  # entry points load it by its name
    spec.loader.exec_module(module)
    return module


_load("broken_adapters")


@pytest.fixture(autouse=True)
def _state() -> Iterator[None]:
    """Restore the state that broken adapters change: other tests run in this process too."""
    seen, states = random.getstate(), np.random.get_state()
    with np.printoptions(), np.errstate(), warnings.catch_warnings():
        yield
    random.setstate(seen)
    np.random.set_state(states)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Sound` is registered under its name, beside ours."""
    from importlib.metadata import entry_points

    points = [*entry_points(group=GROUP), EntryPoint("sound", "broken_adapters:Sound", GROUP)]
    for module in (subject, trace):
        monkeypatch.setattr(module, "entry_points", lambda group: points)
