"""How adapters are found: ours and others' in the same way, and what is said when one is not."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import gradparity as gp
from gradparity.adapters import base
from gradparity.adapters.base import Adapter, AdapterError, available, get_adapter, installed
from gradparity.comparisons.atlas.probe import probe

#: A third party's module: a complete adapter, and one that lacks something.
MODULE = """
from gradparity.core import backprop

class Whole:
    name = "mine"
    def versions(self): return {"mine": "7.1"}
    def run(self, case, *, dtype=None, device=None):
        trace = backprop(case if dtype is None else case.astype(dtype))
        trace.adapter = self.name
        return trace
    def run_all(self, cases, *, dtype=None, device=None):
        return [self.run(case, dtype=dtype) for case in cases]
    def build(self, network, params): return dict(params)
    def export(self, network, native): return dict(native)

class Partial:
    name = "partial"
    def run(self, case): return backprop(case)

class Raising:
    def __init__(self): raise OSError("the licence server is down")
"""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """The registry remembers what it found; each test looks again."""
    base._entry_points.cache_clear()
    base.loaded_adapter.cache_clear()
    yield
    base._entry_points.cache_clear()
    base.loaded_adapter.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a distribution with one adapter, as pip would."""
    (tmp_path / "somebody_elses.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebody_elses", raising=False)

    def do(name: str, value: str) -> None:
        info = tmp_path / f"dist_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{base.GROUP}]\n{name} = {value}\n")
        base._entry_points.cache_clear()

    return do


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these be the only entry points there are."""

    def do(**values: str) -> None:
        points = [EntryPoint(name, value, base.GROUP) for name, value in values.items()]
        monkeypatch.setattr(base, "entry_points", lambda group: points)

    return do


class TestOurOwn:
    def test_are_registered_as_anybodys_would_be(self) -> None:
        registered = {p.name: p.value for p in entry_points(group="gradparity.adapters")}
        assert registered["torch"] == "gradparity.adapters.torch:TorchAdapter"
        assert registered["jax"] == "gradparity.adapters.jax:JaxAdapter"
        assert set(available()) == set(registered)
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
        declared = project["project"]["entry-points"]["gradparity.adapters"]
        assert declared.items() <= registered.items()

    def test_have_no_name_in_the_code_that_finds_them(self, only: Callable[..., None]) -> None:
        only()
        assert available() == []
        with pytest.raises(
            AdapterError, match=r"no adapter is called 'torch'; registered are \[\]"
        ):
            get_adapter("torch")

    @pytest.mark.parametrize("name", ["torch", "jax"])
    def test_keep_the_protocol(self, name: str) -> None:
        pytest.importorskip(name)
        found = get_adapter(name)
        assert isinstance(found, Adapter)
        assert found.name == name
        assert get_adapter(name) is found  # and is made once
        assert gp.get_adapter(name) is found

    @pytest.mark.parametrize("name", ["torch", "jax"])
    def test_have_an_extra_of_their_name(self, name: str) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
        assert name in project["project"]["optional-dependencies"]
        assert base.INSTALL[name] == f'pip install "gradparity[{name}]"'


class TestAnUnknownName:
    def test_is_answered_with_the_registered_ones(self) -> None:
        with pytest.raises(AdapterError) as error:
            get_adapter("tensorflow")
        assert "'tensorflow'" in str(error.value)
        assert "'jax'" in str(error.value)
        assert "'torch'" in str(error.value)

    def test_is_answered_so_by_check_too(self) -> None:
        net = gp.layered([gp.core.Affine(2, 2)], gp.core.L2())
        with pytest.raises(AdapterError, match="no adapter is called 'tensorflow'"):
            gp.check(net, "tensorflow")


class TestAMissingFramework:
    def test_says_in_one_sentence_what_to_install(self, only: Callable[..., None]) -> None:
        only(torch="a_framework_that_is_not_there:TorchAdapter")
        with pytest.raises(AdapterError) as error:
            get_adapter("torch")
        said = str(error.value)
        assert "\n" not in said
        assert "'torch'" in said
        assert "No module named 'a_framework_that_is_not_there'" in said
        assert said.endswith('; pip install "gradparity[torch]"')
        assert isinstance(error.value.__cause__, ImportError)

    def test_is_no_news_until_it_is_asked_for(self, only: Callable[..., None]) -> None:
        only(torch="a_framework_that_is_not_there:TorchAdapter")
        assert installed() == {}  # a warning would be an error here

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("raise ImportError('libcudart.so: no such')", "not usable.*libcudart.*pip install"),
            ("raise SystemExit(0)", r"not usable \(it exits with 0\)"),
        ],
    )
    def test_that_is_there_and_broken_is_news(
        self,
        only: Callable[..., None],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        code: str,
        said: str,
    ) -> None:
        module = f"broken_framework_{len(code)}"
        (tmp_path / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        only(torch=f"{module}:TorchAdapter")
        with pytest.warns(UserWarning, match=f"'torch' is {said}"):
            assert installed() == {}

    def test_without_any_there_is_nothing_to_probe(self, only: Callable[..., None]) -> None:
        only()
        with pytest.raises(AdapterError, match="no framework is installed to measure; pip install"):
            probe()

    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_leaves_the_rest_of_the_package_usable(self, framework: str) -> None:
        code = f"""
            import sys
            sys.modules[{framework!r}] = None  # importing it fails from now on
            import gradparity as gp
            from gradparity.core import *
            from gradparity.adapters.base import AdapterError
            assert {framework!r} in gp.adapters.available()
            try:
                gp.get_adapter({framework!r})
            except AdapterError as error:
                assert str(error).endswith('pip install "gradparity[{framework}]"'), error
                assert str(error).count(chr(10)) == 0, error
            else:
                raise SystemExit("an adapter without its framework")
            report = gp.check(gp.layered([Affine(2, 2)], L2()), backprop, dtypes=["float64"])
            assert report, report
        """
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr

    def test_is_left_out_and_listed_as_such(self, only: Callable[..., None], install: Any) -> None:
        only(jax="a_framework_that_is_not_there:JaxAdapter", mine="somebody_elses:Whole")
        net = gp.layered([gp.core.Affine(2, 2)], gp.core.L2())
        report = gp.check(net, dtypes=["float64"])
        assert [run.adapter for run in report.runs] == ["mine"]
        assert report.skipped == {"jax": "not installed"}

    def test_everywhere_means_nothing_was_compared(self, only: Callable[..., None]) -> None:
        only(jax="a_framework_that_is_not_there:JaxAdapter")
        report = gp.check(gp.layered([gp.core.Affine(2, 2)], gp.core.L2()))
        assert not report
        assert report.exit_code == 2
        assert "nothing was compared" in str(report)


class TestAThirdParty:
    def test_is_found_like_ours(self, install: Callable[[str, str], None]) -> None:
        install("mine", "somebody_elses:Whole")
        assert "mine" in available()
        assert available() == sorted(available())
        found = get_adapter("mine")
        assert isinstance(found, Adapter)
        report = gp.check(gp.layered([gp.core.Affine(2, 2)], gp.core.L2()), "mine")
        assert report
        assert report.environment["mine"] == "7.1"
        assert installed()["mine"] is found

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("no_such_module:Whole", "No module named 'no_such_module'"),
            ("somebody_elses:NoSuchClass", "NoSuchClass"),
            ("somebody_elses:Raising", "the licence server is down"),
            ("somebody_elses:Partial", r"lacks \['versions', 'run_all', 'build', 'export'\]"),
        ],
    )
    def test_that_is_broken_warns_and_is_left_out(
        self, install: Callable[[str, str], None], value: str, why: str
    ) -> None:
        install("mine", value)
        with pytest.raises(AdapterError, match=rf"the adapter 'mine'.*{why}") as error:
            get_adapter("mine")
        assert value in str(error.value)  # whose it is
        with pytest.warns(UserWarning, match=rf"the adapter 'mine'.*{why}"):
            found = installed()
        assert set(found) == {name for name in ("torch", "jax") if find_spec(name)}

    def test_that_is_broken_fails_only_when_named(
        self, only: Callable[..., None], install: Any
    ) -> None:
        only(mine="somebody_elses:Whole", other="somebody_elses:Raising")
        net = gp.layered([gp.core.Affine(2, 2)], gp.core.L2())
        with pytest.warns(UserWarning, match="licence server"):
            assert gp.check(net, dtypes=["float64"])
        assert gp.check(net, "mine", dtypes=["float64"])
        with pytest.raises(AdapterError, match="licence server"):
            gp.check(net, "other")
