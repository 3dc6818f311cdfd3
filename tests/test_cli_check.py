"""`gradparity check`: what it prints, and above all what it exits with."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gradparity.comparisons.cases import suite
from gradparity.comparisons.running import implementations

from command_line import check, elsewhere, last, refused, run, strictly

_elsewhere = pytest.fixture(autouse=True)(elsewhere)


class TestCheck:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param(n, marks=pytest.mark.skipif(not find_spec(n), reason=f"no {n}"))
            for n in ("torch", "jax")
        ],
    )
    def test_of_a_framework_ends_in_parity(self, name: str) -> None:
        result = check("--case", "net-tanh", "--dtype", "float32", adapters=(name,))
        assert result.exit_code == 0, result.output
        assert last(result).startswith("PARITY  ")
        header = " ".join(result.stdout.split("\n\n")[0].split())
        assert f" · {name} " in header
        assert "net-tanh" in result.stdout

    def test_strict_is_in_the_conclusion(self) -> None:
        result = check("--case", "net-tanh", "--strict")
        assert result.exit_code == 0
        assert last(result).endswith("strict: lossy is no parity")

    def test_tells_what_it_did(self) -> None:
        result = check("--case", "net-tanh")
        assert result.exit_code == 0
        assert last(result).startswith("PARITY  ")
        assert "in 2 runs" in last(result)  # both dtypes
        for word in ("right f64", "right f32", "grad W1", "value z1", "Err", "Div"):
            assert word in result.stdout
        assert result.stderr == ""

    @pytest.mark.parametrize("asked", [(), ("--dtype", "float64"), ("--case", "op-")])
    def test_cases_take_turns_where_an_adapter_compiles(
        self, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
    ) -> None:
        """Half of them are checked in either format, the digits in both; otherwise all in both."""
        names = ["op-relu", "digits-two", "op-tanh"]
        some = {n: b for n, b in suite.builtin_cases().items() if n in names}
        monkeypatch.setattr(suite, "builtin_cases", lambda: some)
        monkeypatch.setattr(implementations, "compiles", lambda adapters: True)
        result = check("--detail", "none", *asked)
        assert result.exit_code == 0, result.output
        assert ("took turns" in result.stdout) == (not asked)
        runs = {(): 4, ("--dtype", "float64"): 3, ("--case", "op-"): 4}[asked]
        assert f"in {runs} runs" in last(result)

    def test_of_one_dtype_is_one_run(self) -> None:
        result = check("--case", "net-tanh", "--dtype", "float64")
        assert "in 1 run" in last(result)
        assert "f32" not in result.stdout

    def test_takes_options_more_than_once(self) -> None:
        result = check("--case", "net-tanh", "--case", "net-sigmoid", "--dtype", "float64",
                       "--dtype", "float32", adapters=("right", "right"))  # fmt: skip
        assert result.exit_code == 0
        assert "net-tanh" in result.stdout
        assert "net-sigmoid" in result.stdout

    @pytest.mark.parametrize("detail", ["auto", "all", "none"])
    def test_shows_as_much_as_is_asked(self, detail: str) -> None:
        result = check("--case", "net-", "--detail", detail, "--dtype", "float64")
        assert result.exit_code == 0, result.output
        node_by_node = "grad W1" in result.stdout
        assert node_by_node is (detail == "all")
        assert all(f"net-{op}" in result.stdout for op in ("tanh", "affine", "maxout"))


class TestAMismatch:
    def test_exits_1_and_names_node_and_quantity(self) -> None:
        result = check("--case", "net-tanh", adapters=("right", "wrong"))
        assert result.exit_code == 1
        assert last(result).startswith("NO PARITY  ")
        said = " ".join(result.stdout.split())
        place = (
            r"grad W1 at node 'z1', Affine\([^)]*\) "
            "run wrong, float64, case 'net-tanh' also float32"
        )
        assert re.search(rf"{place} verdict MISMATCH, .* worst index \[.*\]: got", said)
        assert "run right" not in said

    def test_is_in_the_json_with_its_place(self) -> None:
        result = check("--case", "net-tanh", "--json", "-", adapters=("wrong",))
        assert result.exit_code == 1
        report = strictly(result.stdout)
        assert report["exit_code"] == 1
        assert report["parity"] is False
        bad = [f for r in report["runs"] for f in r["findings"] if f["verdict"] == "mismatch"]
        assert {(f["quantity"], f["node"]) for f in bad} == {("grad W1", "z1")}
        assert all(f["outside"] > 0 and len(f["index"]) == 2 for f in bad)

    def test_what_a_trace_lacks_is_unknown_and_no_mismatch(self) -> None:
        result = check("--case", "net-tanh", adapters=("careless",))
        assert result.exit_code == 2
        assert "verdict INCONCLUSIVE why the trace lacks it" in " ".join(result.stdout.split())
        assert last(result).startswith("UNKNOWN")


class TestJson:
    def test_to_a_file_beside_the_text(self, tmp_path: Path) -> None:
        result = check("--case", "net-tanh", "--json", "report.json")
        assert result.exit_code == 0
        assert last(result).startswith("PARITY")
        report = strictly((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert report["schema"] == "gradparity/report/1"
        assert report["parity"] is True
        assert {(r["case"], r["adapter"], r["dtype"]) for r in report["runs"]} == {
            ("net-tanh", "right", "float64"),
            ("net-tanh", "right", "float32"),
        }
        assert report["environment"]["right"] == "1.2"
        for one in report["runs"]:
            quantities = {finding["quantity"] for finding in one["findings"]}
            assert {"value z1", "grad W1", "grad b1", "Div", "Err"} <= quantities

    def test_to_standard_output_is_nothing_but_json(self) -> None:
        result = check("--case", "net-tanh", "--json", "-")
        assert result.exit_code == 0
        assert result.stderr == ""
        assert strictly(result.stdout)["schema"] == "gradparity/report/1"

    def test_of_kinks_and_saturation_has_no_infinity(self) -> None:
        """z up to 300 in float32, where exponentials overflow and bounds may be infinite."""
        result = check("--case", "op-", "--json", "-")
        report = strictly(result.stdout)
        assert result.exit_code == report["exit_code"]
        assert len(report["runs"]) > 40

    def test_that_cannot_be_written_is_an_error_and_no_difference(self) -> None:
        result = check("--case", "net-tanh", "--json", "no/such/folder/report.json")
        assert result.exit_code == 2
        assert "no/such/folder/report.json" in result.stderr


class TestATarget:
    @pytest.mark.parametrize(
        ("target", "names"),
        [
            ("case", {"just-this"}),
            ("network", {"my_targets:network"}),
            ("networks", {"my_targets:networks[0]"}),
            ("twice", {"just-this (1)", "just-this (2)"}),
            ("cases", {"just-this", "and-that"}),
            ("make", {"just-this"}),
            ("several", {"just-this", "and-that"}),
            ("lazily", {"just-this", "and-that"}),
            ("Holder.inner", {"just-this"}),
        ],
    )
    def test_is_a_case_a_network_several_or_a_function(self, target: str, names: set[str]) -> None:
        result = check(f"my_targets:{target}", "--json", "-")
        assert result.exit_code == 0, result.output
        assert {r["case"] for r in strictly(result.stdout)["runs"]} == names

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("my_targets", ["'my_targets'", "package.module:object"]),
            ("no_such_module:case", ["'no_such_module:case'", "No module named"]),
            ("my_targets:no_such_name", ["no 'no_such_name' is defined there"]),
            ("my_targets:cas", ["no 'cas' is defined there; did you mean 'case'?"]),
            ("my_targets:Holder.iner", ["no 'iner'", "did you mean 'inner'?"]),
            ("my_targets.py:five", ["'my_targets.py:five'", "int", "give a Case"]),
            ("nowhere.py:case", ["there is no file nowhere.py"]),
            ("my_targets:five", ["'my_targets:five'", "int", "give a Case"]),
            ("my_targets:text", ["'my_targets:text'", "str", "give a Case"]),
            ("my_targets:nothing", ["'my_targets:nothing'", "NoneType"]),
            ("my_targets:needy", ["'my_targets:needy'", "takes arguments", "gradparity.check("]),
            ("my_targets:bad", ["'my_targets:bad'", "RuntimeError", "no disk left"]),
            ("my_targets:", ["'my_targets:'", "module"]),
            ("my targets:case", ["'my targets:case'"]),
            (":case", ["':case'"]),
        ],
    )
    def test_that_is_something_else_is_refused_by_name(self, target: str, words: list[str]) -> None:
        refused(check(target), *words)

    @pytest.mark.parametrize("name", ["my_targets.py", "my-targets.py", "my targets.py"])
    def test_is_of_a_file_of_any_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text((tmp_path / "my_targets.py").read_text())
        result = check(f"{name}:case", "--json", "-")
        assert result.exit_code == 0, result.output
        assert {r["case"] for r in strictly(result.stdout)["runs"]} == {"just-this"}

    def test_without_cases_compares_nothing(self) -> None:
        result = check("my_targets:empty")
        assert result.exit_code == 2
        assert last(result) == "UNKNOWN  nothing was compared"
        assert strictly(check("my_targets:empty", "--json", "-").stdout)["parity"] is None

    def test_and_a_builtin_case_exclude_each_other(self) -> None:
        refused(check("my_targets:case", "--case", "net-tanh"), "--case", "my_targets:case")


class TestUsageErrors:
    def test_say_what_the_digits_come_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from gradparity.comparisons.cases import digits

        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        digits._load.cache_clear()
        refused(check("--case", "digits"), 'pip install "gradparity[digits]"', "--case")

    def test_name_an_unknown_adapter_and_the_known(self) -> None:
        result = check("--case", "net-tanh", adapters=("tensorflow",))
        refused(result, "'tensorflow'", "'right'", "'torch'")

    @pytest.mark.parametrize("dtype", ["float31", "longdouble", "int32", "complex64"])
    def test_name_an_unknown_dtype_and_the_known(self, dtype: str) -> None:
        refused(check("--case", "net-tanh", "--dtype", dtype), dtype)

    def test_name_an_unknown_case(self) -> None:
        refused(check("--case", "no-such", "--case", "nor-such"), "no-such", "nor-such", "list")

    def test_name_an_unknown_device(self) -> None:
        pytest.importorskip("torch")
        result = check("--case", "net-tanh", "--device", "abacus", adapters=("torch",))
        refused(result, "'abacus'", "torch")

    @pytest.mark.parametrize(
        "arguments", [["--no-such-option"], ["--detail", "some"], ["a:b", "c:d"], ["--json"]]
    )
    def test_of_clicks_own_exit_2_too(self, arguments: list[str]) -> None:
        refused(run("check", *arguments))

    def test_of_the_command(self) -> None:
        refused(run("prove"), "prove")


class TestReport:
    def test_is_a_page_in_its_file_and_the_text_beside_it(self, tmp_path: Path) -> None:
        result = check("--case", "net-tanh", "--report", "report.html")
        assert (result.exit_code, last(result)[:6]) == (0, "PARITY")
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
        assert "net-tanh" in page
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    def test_alone_on_standard_output(self) -> None:
        result = check("--case", "net-tanh", "--report", "-")
        assert result.stdout.startswith("<!doctype html>")
        assert result.stdout.rstrip().endswith("</html>")

    def test_is_refused_before_the_work(self, tmp_path: Path) -> None:
        for arguments, said in (
            (("--report", "none/report.html"), "give a file in a folder that exists"),
            (("--report", str(tmp_path)), "is a directory"),
            (("--report", "same", "--json", "same"), "give each a file of its own"),
        ):
            result = check("--case", "net-tanh", *arguments)
            assert result.exit_code == 2
            assert said in " ".join(result.stderr.split())
