"""The pytest plugin of gradparity: its options, its fixtures, and what is passed on to whom.

It is a module of its own at the top, and imports nothing but pytest: every run of every project
loads it, long before coverage is measured.  The work is done in `gradparity.testing`, which is
imported when a test first asks for it.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradparity.comparisons.report.report import Report
    from gradparity.testing.checker import Checker

__all__ = ["configs", "found"]

#: Name of an option and of its ini key, its metavar ("" of a flag), and what it says.
OPTIONS = (
    ("adapters", "NAMES", "the adapters to check, such as torch,jax; every registered one if none"),
    ("dtypes", "NAMES", "the dtypes to check in, such as float64,float32,bfloat16"),
    ("require", "NAMES", "adapters that must be there: a missing one is an error, not a skip"),
    (
        "report",
        "PATH",
        "write every report to this file: as JSON to .json, as a page to .html",
    ),
    ("seed", "N", "of the random numbers that a network is given"),
    ("strict", "", "lossy results fail; in the file: true or false"),
)

#: The runs of pytest now going on in this process, innermost last.
configs: list[pytest.Config] = []

#: What the checks of the test now running have found; None where no test is running.
found: list[Report] | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradparity", "gradient parity")
    for name, metavar, said in OPTIONS:
        how = {"metavar": metavar} if metavar else {"action": "store_const", "const": "true"}
        group.addoption(f"--gradparity-{name}", default=None, help=said, **how)
        # A plain string under every version of pytest and style of file; it is parsed by us.
        parser.addini(f"gradparity_{name}", said, type="string", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "gradparity(adapters=, dtypes=, allow=, seed=, strict=): what the fixture uses.",
    )
    configs.append(config)
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist only sends
        config.pluginmanager.register(Gathered(config), "gradparity-gathered")


def pytest_unconfigure(config: pytest.Config) -> None:
    if config in configs:
        configs.remove(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Bad settings, and a required adapter that is missing, stop the run before it starts."""
    config = session.config
    given = [n for n, _, _ in OPTIONS if config.getoption(f"gradparity_{n}") is not None]
    given += [n for n, _, _ in OPTIONS if config.getini(f"gradparity_{n}")]
    if given and not hasattr(config, "workerinput"):
        from gradparity.testing.run.settings import refuse_bad

        refuse_bad(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Versions, without importing what they are of."""
    said = [f"{name} {_version(name)}" for name in ("numpy", "torch", "jax")]
    return f"gradparity: {_version('gradparity')} ({', '.join(said)})"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@pytest.fixture
def gradparity(request: pytest.FixtureRequest) -> Checker:
    """Check implementations of a network, or of an op, against the hand-derived gradient.

    ``gradparity(case, *implementations)`` fails the test with a diagnosis unless there is parity.
    """
    from gradparity.testing.checker import Checker
    from gradparity.testing.run.settings import of_test

    return Checker(of_test(request.node, request.config))


@pytest.fixture
def gradparity_adapter(request: pytest.FixtureRequest) -> Any:
    """Each of the chosen adapters in turn; skipped where its framework is not installed."""
    from gradparity.testing.run.outcome import one_adapter
    from gradparity.testing.run.settings import of_test

    return one_adapter(request.param, of_test(request.node, request.config).required)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "gradparity_adapter" in metafunc.fixturenames:
        from gradparity.testing.run.settings import of_test

        names = of_test(metafunc.definition, metafunc.config).names
        metafunc.parametrize("gradparity_adapter", names, indirect=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that nobody can follow is an error, whether or not the test uses a fixture."""
    if item.get_closest_marker("gradparity"):
        from gradparity.testing.run.settings import of_test

        of_test(item, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    global found
    outer, found = found, []  # a test may run pytest, whose tests have reports of their own
    try:
        return (yield)
    finally:
        found = outer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand on what was found, in attributes that survive the way from a worker."""
    if not found:
        report = yield
    else:
        from gradparity.testing.summary import packed, properties

        ours = properties(found)
        mine = {name for name, _ in ours}
        item.user_properties[:] = [p for p in item.user_properties if p[0] not in mine] + ours
        report = yield
        report.gradparity = packed(found, full=bool(_report(item.config)))  # type: ignore[attr-defined]
        found.clear()
    if call.excinfo is not None and "gradparity.comparisons.report.report" in sys.modules:
        from gradparity.testing.plain_assert import explain

        explain(report, call.excinfo)
    return report


def _report(config: pytest.Config) -> str:
    given = config.getoption("gradparity_report")
    return str(config.getini("gradparity_report") if given is None else given)


class Gathered:
    """Gathers what was found by all workers; writes the report, and the terminal's summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests: dict[str, dict[str, Any]] = {}
        #: Selected tests without a result, so that a report says whether it is complete.
        self.unfinished: set[str] = set()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:  # what tests are in there nobody knows
            self.unfinished.add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.unfinished.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Here the tests are collected by the workers, which send their names."""
        self.unfinished.update(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.unfinished.discard(report.nodeid)
        packed: str | None = getattr(report, "gradparity", None)
        if packed is None and report.nodeid not in self.tests:
            return
        from gradparity.testing.summary import add

        add(self.tests, report, packed)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if _report(self.config) and not self.config.option.collectonly:
            from gradparity.testing.run.settings import report_path
            from gradparity.testing.summary import write

            write(self.tests, report_path(self.config), int(exitstatus), self.unfinished)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.tests:
            from gradparity.testing.summary import lines

            terminalreporter.section("gradient parity")
            for line in lines(self.tests, _report(self.config), len(self.unfinished)):
                terminalreporter.write_line(line)
