"""The atlas in processes: nothing stops it, it can be resumed, and its result stays the same."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gradparity.comparisons.atlas.as_text import changes_text, text
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.probing.measuring import Measuring
from gradparity.comparisons.probing.page import atlas_page
from gradparity.comparisons.probing.partial import Partial
from gradparity.comparisons.probing.probe import partial_of, probe_parts
from planted_smooth import Hand, Planted

from command_line import elsewhere, refused, run

_elsewhere = pytest.fixture(elsewhere)
SMOOTH: dict[str, Any] = {"parts": ["smooth"], "dtypes": ["float32", "float16"]}


def test_the_result_is_that_of_one_process() -> None:
    here = probe_parts(Planted("tanh", "exp"), **SMOOTH)
    assert {r.spelling for r in here.smooth.regions} == {"tanh(x)"}
    assert here.smooth.functions == 2
    there = probe_parts(Planted("tanh", "exp"), **SMOOTH, workers=2)
    assert there.to_json() == here.to_json()


def test_what_does_not_return_or_ends_its_process_is_noted_and_the_rest_measured() -> None:
    found = probe_parts(
        Planted("sin", "cos", "tanh"), parts=["smooth"], dtypes=["float32"], workers=1, limit=2
    )
    assert found.smooth.unsupported == (
        "planted: sin(x), float32: no answer in 2 s",
        "planted: cos(x), float32: the process ended with exit code 7",
    )
    assert {r.spelling for r in found.smooth.regions} == {"tanh(x)"}


def test_versions_of_libraries_are_in_the_atlas_and_missing_ones_are_named() -> None:
    adapter = Planted("exp")
    adapter.known = {"here": "3.1", "gone": ""}
    found = probe_parts(adapter, **SMOOTH)
    assert found.versions == {"planted": {"planted": "1.0", "here": "3.1"}}
    assert found.smooth.missing == {"planted": ("gone",)}
    assert "planted: not installed: gone" in text(found)
    assert "planted: not installed: gone" in atlas_page(found)
    assert Atlas.from_json(found.to_json()) == found


@pytest.mark.skipif(
    not all(map(find_spec, ("jax", "keras", "equinox"))), reason="needs JAX, Keras and Equinox"
)
def test_functions_of_keras_and_equinox_are_found() -> None:
    found = probe_parts("jax", parts=["smooth"], names=["log_cosh", "PReLU"], dtypes=["float32"])
    worst_last = reversed(found.smooth.regions)
    lost = {r.spelling: r.lost for r in worst_last if r.users == "common"}
    assert lost["keras.losses.log_cosh([0], [x])"] > 7  # its value is 0 below 1e-4
    assert "eqx.nn.PReLU(0.01)(x)" not in lost
    assert {"keras", "equinox"} <= found.versions["jax"].keys()


def test_groups_of_kinks_and_structures_without_an_answer_are_noted() -> None:
    measuring = Measuring([Hand()], ("kinks", "structures"), names=["ReLU", "relu"])
    units = measuring.units()
    assert {unit.part for unit in units} == {"kinks", "structures"}
    lost = measuring.atlas({unit: measuring.lost(unit, "no answer in 2 s") for unit in units})
    known = measuring.atlas({unit: measuring(unit) for unit in units})
    assert {e.key for e in lost.entries} == {e.key for e in known.entries}
    assert all("no answer in 2 s" in e.note for e in lost.entries)
    assert not any(e.note for e in known.entries)
    assert all(said.endswith("no answer in 2 s") for said in lost.structures.unsupported)
    assert len(lost.structures.unsupported) > 0 == len(known.structures.unsupported)


class TestResumed:
    def broken(self, path: Path) -> None:
        """Begin a run that is interrupted after float32."""
        with pytest.raises(KeyboardInterrupt):
            probe_parts(Planted("tanh", "exp", interrupts="float16"), **SMOOTH, partial=path)

    def test_gives_the_same_result_and_measures_the_rest(self, tmp_path: Path) -> None:
        path = tmp_path / "atlas.json.partial"
        self.broken(path)
        assert len(path.read_text().splitlines()) == 3  # of options, and of two functions
        told = list[str]()
        found = probe_parts(Planted("tanh", "exp"), **SMOOTH, partial=path, resume=True,
                            progress=lambda said, done: told.append(said))  # fmt: skip
        assert found.to_json() == probe_parts(Planted("tanh", "exp"), **SMOOTH).to_json()
        assert not any("float32" in said for said in told)
        assert not path.exists()

    @pytest.mark.parametrize("damage", ['{"schema": "gradpar', '{"unit": 1}\n{"uni'])
    def test_without_a_last_line_that_is_not_whole(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "atlas.json.partial"
        self.broken(path)
        path.write_text(path.read_text() + damage)
        again = {**SMOOTH, "partial": path, "resume": True}
        if "\n" in damage:  # a line before the last one is damaged
            with pytest.raises(ValueError, match=r"cannot resume from .*schema"):
                probe_parts(Planted("tanh", "exp"), **again)
        else:
            found = probe_parts(Planted("tanh", "exp"), **again)
            assert found.to_json() == probe_parts(Planted("tanh", "exp"), **SMOOTH).to_json()

    def test_refuses_other_versions_and_options(self, tmp_path: Path) -> None:
        path = tmp_path / "atlas.json.partial"
        self.broken(path)
        before = path.read_text()
        again: dict[str, Any] = {**SMOOTH, "partial": path, "resume": True}
        with pytest.raises(ValueError, match=r"has versions .*1\.0.*2\.0.*without --resume"):
            probe_parts(Planted("tanh", "exp", version="2.0"), **again)
        for option in ({"names": ["tanh"]}, {"limit": 5.0}, {"compile": True}):
            with pytest.raises(ValueError, match=f"it has {next(iter(option))} "):
                probe_parts(Planted("tanh", "exp"), **again, **option)
        assert path.read_text() == before
        with pytest.raises(ValueError, match="there is no"):
            probe_parts(Planted("tanh"), **SMOOTH, partial=tmp_path / "no", resume=True)

    def test_a_line_holds_what_was_measured(self, tmp_path: Path) -> None:
        path = tmp_path / "atlas.json.partial"
        self.broken(path)
        measuring = Measuring(
            [Planted("tanh", "exp")], ("smooth",), False, (), ("float32", "float16")
        )
        read = Partial(path, measuring, 60.0).read()
        units = [unit for unit in measuring.units() if unit.dtype == "float32"]
        assert read == {unit: measuring(unit) for unit in units}


@pytest.mark.usefixtures("_elsewhere")
class TestCommand:
    RIGHT = ("probe", "--all", "--adapter", "right", "--function", "ReLU", "--function", "relu")

    def test_all_parts_are_one_atlas_with_one_diff(self) -> None:
        result = run(*self.RIGHT, "--json", "atlas.json", "--report", "a.html", "--workers", "0")
        assert result.exit_code == 0, result.output
        atlas = Atlas.from_json(Path("atlas.json").read_text())
        assert atlas.option == "--all"
        assert atlas.entries
        assert atlas.structures.cases > 0
        assert not partial_of(Path("atlas.json")).exists()
        for said in ("outside the subdifferential", "results"):
            assert said in text(atlas)
        assert "regions" not in text(atlas)  # no function of it has such a name
        page = Path("a.html").read_text()
        for section in ("kinks", "digits", "structures"):
            assert f'<h2 id="{section}">' in page
        again = run(*self.RIGHT, "--workers", "1", "--diff", "atlas.json")
        assert again.exit_code == 0, again.output
        refused(run("probe", "--adapter", "right", "--diff", "atlas.json"), "--all")
        n = len(atlas.entries)
        changed = replace(atlas, entries=atlas.entries[:-1])
        found = changed.compared(atlas)
        assert [str(change).partition(", ")[2] for change in found.changes] == [
            f"{atlas.entries[-1].mode} float32: appeared, {atlas.entries[-1].said}"
        ]
        assert f"1 of {n} entries, 0 of " in changes_text(found, changed, atlas)

    def test_errors_say_what_to_do(self) -> None:
        refused(run("probe", "--all", "--smooth"), "--all")
        refused(run("probe", "--resume"), "--json FILE")
        refused(run(*self.RIGHT, "--resume", "--json", "new.json"), "new.json.partial")

    @pytest.mark.parametrize("kept", [True, False])
    def test_an_interrupt_exits_130(self, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*args: Any, partial: Path, **kwargs: Any) -> Any:
            if kept:
                partial.write_text("{}")
            raise KeyboardInterrupt

        monkeypatch.setattr("gradparity.comparisons.probing.probe.probe_parts", interrupted)
        result = run(*self.RIGHT, "--json", "atlas.json")
        assert result.exit_code == 130
        assert ("--resume" in result.stderr) == kept
