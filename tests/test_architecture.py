"""The architecture, read off the source and held to the list in docs/how-to/contribute.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import gradparity

PACKAGE = Path(gradparity.__file__).parent
SRC = PACKAGE.parent  # holds every other package too where gradparity is installed from a wheel
FILES = [SRC / "_gradparity_pytestplugin.py", *sorted(PACKAGE.rglob("*.py"))]
CONTRIBUTE = Path(__file__).parents[1] / "docs" / "how-to" / "contribute.md"
FRAMEWORKS = {"torch": {"torch"}, "jax": {"jax", "optax"}}


def framework(path: Path) -> str:
    """Of a file among the adapters: what lies in adapters/torch/ is PyTorch's."""
    return path.relative_to(PACKAGE / "adapters").parts[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path, root: Path = SRC) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of everything imported in a file, at any depth."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def folder(path: Path) -> str:
    """Below the package: "core/network"; empty for the package itself and the plugin."""
    inside = path.parent.is_relative_to(PACKAGE)
    return path.parent.relative_to(PACKAGE).as_posix().strip(".") if inside else ""


def floors() -> list[str]:
    """The folders as docs/how-to/contribute.md lists them, the top one first."""
    listed = CONTRIBUTE.read_text(encoding="utf-8").split("<!-- floors -->")[1].split("```")[1]
    return [line.split("/ ")[0] for line in listed.splitlines()[1:]]


def file_of(name: str) -> Path | None:
    """The file that an imported name lies in; None for other packages and for packages of ours."""
    for end in (None, -1):
        path = SRC.joinpath(*name.split(".")[:end]).with_suffix(".py")
        if path.is_file():
            return path
    return None


def used_files() -> dict[Path, set[Path]]:
    """For every file the files it imports from; an `__init__` only hands on names."""
    return {
        path: {used for _, name in imports(path) if (used := file_of(name)) and used != path}
        for path in FILES
        if path.name != "__init__.py"
    }


def ours(name: str) -> bool:
    return name.split(".")[0] == "gradparity"


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(SRC)}:{line}"


def test_there_is_something_to_look_at() -> None:
    modules = {module_of(path) for path in FILES}
    assert {
        "gradparity",
        "gradparity.core.formulas.op",
        "gradparity.adapters.torch.adapter",
    } <= modules
    assert {"gradparity.comparisons.check.check", "gradparity.cli"} <= modules
    found = {name for _, name in imports(PACKAGE / "adapters" / "torch" / "adapter.py")}
    ours = {"gradparity.core.network.case.Case", "gradparity.adapters.base.walk"}
    assert {"torch", "numpy", *ours} <= found


class TestDirection:
    def test_every_folder_is_in_the_list_of_the_documentation(self) -> None:
        holding = {folder(path) for path in FILES} - {"", "core", "comparisons"}
        assert sorted(floors()) == sorted(holding)

    def test_no_folder_imports_from_one_above_it(self) -> None:
        order = floors()
        wrong = [
            f"{path.relative_to(SRC)} imports {used.relative_to(SRC)}"
            for path, those in used_files().items()
            for used in those
            if folder(path)
            and folder(used)
            and order.index(folder(used)) < order.index(folder(path))
        ]
        assert not wrong

    def test_what_lies_in_no_folder_gathers_names_of_the_core(self) -> None:
        for path, those in used_files().items():
            if path.parent == PACKAGE:
                assert all(folder(used).startswith("core/") for used in those), path

    def test_no_files_import_each_other_in_a_circle(self) -> None:
        list(TopologicalSorter(used_files()).static_order())  # raises CycleError

    def test_only_the_command_line_is_above_the_comparisons(self) -> None:
        wrong = [
            f"{where(path, line)} imports {name}"
            for path in FILES
            for line, name in imports(path)
            if ours(name)
            and name.startswith("gradparity.cli")
            and path.parent.name != "cli"
            and path.name != "__main__.py"  # it is the command line
        ]
        assert not wrong

    def test_pytest_is_needed_by_the_plugin_and_what_it_calls_alone(self) -> None:
        needed = {path for path in FILES for _, name in imports(path) if name == "pytest"}
        wrong = {path for path in needed if "testing" not in path.parent.parts}
        assert wrong == {SRC / "_gradparity_pytestplugin.py"}

    def test_core_needs_numpy_and_the_standard_library_only(self) -> None:
        allowed = {"numpy", "gradparity", *sys.stdlib_module_names}
        wrong = [
            f"{where(path, line)} imports {name}"
            for path in (PACKAGE / "core").rglob("*.py")
            for line, name in imports(path)
            if name.split(".")[0] not in allowed
            or (ours(name) and not name.startswith("gradparity.core"))
        ]
        assert not wrong

    def test_an_adapter_needs_its_own_framework_and_core(self) -> None:
        for path in (PACKAGE / "adapters").rglob("*.py"):
            allowed = {"numpy", "gradparity", *sys.stdlib_module_names}
            allowed |= FRAMEWORKS.get(framework(path), set())
            wrong = [
                f"{where(path, line)} imports {name}"
                for line, name in imports(path)
                if name.split(".")[0] not in allowed
            ]
            assert not wrong

    def test_adapters_do_not_know_each_other(self) -> None:
        for path in (PACKAGE / "adapters").rglob("*.py"):
            others = {
                f"gradparity.adapters.{name}" for name in FRAMEWORKS if name != framework(path)
            }
            used = {name for _, name in imports(path)}
            assert not [u for u in used if any(u.startswith(other) for other in others)], path

    def test_no_framework_is_imported_elsewhere_when_a_module_is(self) -> None:
        """Inside a function, as in a case that is also written natively, is something else."""
        frameworks = set().union(*FRAMEWORKS.values())
        for path in FILES:
            if path.is_relative_to(PACKAGE / "adapters"):
                continue
            top = ast.parse(path.read_text(encoding="utf-8")).body
            for node in top:
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                assert not {n.split(".")[0] for n in names} & frameworks, where(path, node.lineno)


class TestWhoDifferentiates:
    """Core by hand, the frameworks by themselves: neither borrows from the other."""

    def test_core_calls_no_derivative_of_anybodys(self) -> None:
        banned = {"autograd", "value_and_grad", "jacfwd", "jacrev", "autodiff", "custom_vjp",
                  "derivative", "approx_fprime", "check_grad", "deriv", "polyder"}  # fmt: skip
        for path in (PACKAGE / "core").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in banned, where(path, node.lineno)
                    of_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
                    assert not (of_numpy and node.attr == "gradient"), where(path, node.lineno)
                if isinstance(node, ast.Name):
                    assert node.id not in banned, where(path, node.lineno)

    def test_adapters_evaluate_no_formula_of_the_core(self) -> None:
        formulas = {"backward", "vjp", "vjp_parameters", "df", "f", "slope", "slopes", "pullback",
                    "gradient", "risk", "subdifferential", "forward", "backprop", "taken_at",
                    "kinks", "sample", "draw", "move", "move_back"}  # fmt: skip
        frameworks = {"Err.backward", "torch.autograd.backward", "jax.vjp"}
        # Where classes extend `torch.nn.Module` alone, so that `super()` is PyTorch's.
        of_modules = {PACKAGE / "adapters" / "torch" / "sequences.py": {"super().forward"}}
        for path in (PACKAGE / "adapters").rglob("*.py"):
            theirs = frameworks | of_modules.get(path, set())
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
            for call in calls:
                if isinstance(call.func, ast.Attribute) and call.func.attr in formulas:
                    assert ast.unparse(call.func) in theirs, where(path, call.lineno)
            formulas_of = ("backprop", "divergences", "cross_entropies")
            assert not [n for _, n in imports(path) if any(name in n for name in formulas_of)]

    def test_adapters_register_no_derivative(self) -> None:
        for path in (PACKAGE / "adapters").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            # A padding row is not trained, and JAX has no other way to say so.
            text = text.replace("E.at[at].set(jax.lax.stop_gradient(E[at]))", "")
            # A straight-through step is defined by its gradient.
            text = text.replace("y - jax.lax.stop_gradient(z) + z if op.straight_through", "")
            # So is a variance that PyTorch clamps unseen by autograd.
            clamped = "jax.lax.stop_gradient(v) + (variance - jax.lax.stop_gradient(variance))"
            text = text.replace(f"if op.straight_through:\n        v = {clamped}", "")
            watches = "record" in path.parts  # a recording names what others have made
            banned_here = ["defvjp", "defjvp"]
            if not watches:
                banned_here += ["autograd.Function", "custom_vjp", "custom_jvp"]
            if path.stem != "precision" and not watches:  # there operands of products are rounded
                banned_here += ["register_hook", "stop_gradient", ".backward_hook"]
            for banned in banned_here:
                assert banned not in text, f"{path.name} has {banned}"


def run_python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


class TestWeight:
    """What an import costs: the pytest entry point pays it in every run of every project."""

    @pytest.mark.sample(5)
    @pytest.mark.parametrize(
        ("module", "without"),
        [
            ("gradparity", ["numpy", "torch", "jax", "click", "rich", "optax", "sklearn"]),
            ("gradparity.core", ["torch", "jax", "optax", "sklearn", "click", "rich"]),
            ("gradparity.comparisons", ["torch", "jax", "optax", "sklearn", "click"]),
            ("gradparity.adapters.base", ["torch", "jax", "optax", "rich", "click"]),
            ("gradparity.cli", ["numpy", "torch", "jax", "optax", "sklearn", "rich"]),
            ("_gradparity_pytestplugin", ["gradparity", "lazy_loader", "numpy", "rich", "click"]),
            ("gradparity.testing", ["pytest", "numpy", "torch", "jax", "rich", "click"]),
            ("gradparity.testing.run.settings", ["numpy", "torch", "jax", "rich", "click"]),
            ("gradparity.testing.summary", ["pytest", "numpy", "torch", "jax", "rich", "click"]),
            ("gradparity.testing.own_network", ["pytest", "torch", "jax", "click"]),
            ("gradparity.testing.conformance", ["pytest", "torch", "jax", "click"]),
        ],
    )
    def test_of_an_import(self, module: str, without: list[str]) -> None:
        code = f"import sys, {module}; print([m for m in {without} if m in sys.modules])"
        assert run_python(code).strip() == "[]"

    def test_of_a_name(self) -> None:
        code = "import sys, gradparity as gp; gp.Case; gp.check; print('torch' in sys.modules)"
        assert run_python(code).strip() == "False"


PACKAGES = [
    importlib.import_module(name)
    for name in (
        "gradparity",
        "gradparity.core",
        "gradparity.adapters",
        "gradparity.comparisons",
        "gradparity.testing",
        "gradparity.testing.conformance",
    )
]
EXAMPLES = sorted(Path(__file__).parents[1].glob("examples/gradparity-*/**/*.py"))


class TestPublicNames:
    @pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
    def test_all_resolve_and_none_is_twice(self, package: ModuleType) -> None:
        names = package.__all__
        assert len(names) == len(set(names))
        for name in names:
            assert getattr(package, name, None) is not None, name
            assert not name.startswith("_")

    def test_of_every_module_resolve(self) -> None:
        for path in FILES:
            module = module_of(path)
            if path.is_relative_to(PACKAGE / "adapters") and framework(path) in FRAMEWORKS:
                pytest.importorskip(framework(path))
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if "__all__" in {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}:
                loaded = importlib.import_module(module)
                missing = [name for name in loaded.__all__ if not hasattr(loaded, name)]
                assert not missing, module

    def test_are_those_of_the_stub(self) -> None:
        tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
        (stub,) = (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        assert sorted(gradparity.__all__) == sorted(stub)
        bound = [
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        assert sorted(bound) == sorted(stub)
        assert set(stub) <= set(dir(gradparity))

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
    def test_are_all_that_an_adapter_of_anothers_needs(self, path: Path) -> None:
        public = {f"{p.__name__}.{name}" for p in PACKAGES for name in p.__all__}
        used = {name for _, name in imports(path, Path("/")) if ours(name)}
        assert used <= public | {"gradparity.core"}

    @pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
    def test_are_documented(self, package: ModuleType) -> None:
        assert package.__doc__
        for name in package.__all__:
            thing = getattr(package, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            said = thing.__doc__ or ""
            # A dataclass without a docstring is given its signature as one.
            assert said.strip(), name
            assert not re.match(rf"{name}\((\w+: |\))", said), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_file_says_what_it_is(path: Path) -> None:
    assert path.name == "__main__.py" or ast.get_docstring(ast.parse(path.read_text("utf-8")))
