"""A project of somebody else's, small and without a framework, in which pytest is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

#: Loaded here for good: what a run inside this process is the first to load is unloaded after it,
#: which NumPy does not survive.
for name in ("checker", "parametrize", "plain_assert", "summary"):
    import_module(f"gradparity.testing.{name}")
import_module("gradparity.comparisons.report.as_text")

PRELUDE = """
import gradparity as gp
import pytest
from gradparity.core import L2, Affine, ReLU
from gradparity.testing import OwnNetwork, parametrize_with_checks

NET = gp.layered([Affine(3, 4), ReLU(), Affine(4, 2)], L2())

def right(case):
    return gp.backprop(case)

def wrong(case):
    trace = gp.backprop(case)
    trace.grad["W1"] = 1.5 * trace.grad["W1"]
    return trace
"""

#: Two adapters of another distribution: one that works, and one whose framework is not there.
FAKE = """
import gradparity as gp

class Fake:
    name = "fake"

    def versions(self):
        return {}

    def run(self, case, *, dtype=None, device=None):
        return gp.backprop(case if dtype is None else case.astype(dtype))

    def run_all(self, cases, *, dtype=None, device=None):
        return [self.run(case, dtype=dtype) for case in cases]

    def build(self, network, params):
        raise NotImplementedError

    export = build

class Absent:
    def __init__(self):
        import a_framework_that_is_not_there

class Broken:
    def __init__(self):
        raise OSError("no such device")
"""


@pytest.fixture(autouse=True)
def _not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """There pytest's short summary is not cut, and shows a diagnosis a second time."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="module")
def _without_hypothesis() -> Iterator[None]:
    """Its plugin imports all of Hypothesis at the end of a run, which these runs do not use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        yield


@pytest.fixture(scope="session")
def prelude() -> str:
    """How every test file of the project starts."""
    return PRELUDE


@pytest.fixture
def project(pytester: pytest.Pytester) -> Callable[..., Path]:
    """Writes a test file, which starts with a network and two implementations of it."""

    def write(*sources: str) -> Path:
        return pytester.makepyfile(test_it=PRELUDE + "\n".join(map(dedent, sources)))

    return write


@pytest.fixture
def adapters(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the adapters "fake", "absent" and "broken", for runs in a process of their own."""
    site = pytester.mkdir("site")
    (site / "fake_adapters.py").write_text(FAKE, encoding="utf-8")
    info = site / "fake_adapters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-adapters\nVersion: 1.0\n")
    points = "".join(
        f"{name.lower()} = fake_adapters:{name}\n" for name in ("Fake", "Absent", "Broken")
    )
    (info / "entry_points.txt").write_text(f"[gradparity.adapters]\n{points}")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
