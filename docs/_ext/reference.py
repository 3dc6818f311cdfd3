"""The reference, read off the code; what is public and not in it fails the build.

`api`      a directive: the names of a module, each documented from its docstring
`written`  a directive: a text of `written.WRITTEN`
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from docstrings import rst
from public import comment, homes, members, names, undocumented
from written import WRITTEN

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("public_modules", {}, "env", dict)
    app.add_directive("api", Api)
    app.add_directive("written", Written)
    app.connect("source-read", _outside)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("env-check-consistency", _complete)
    app.connect("missing-reference", _by_short_name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Markdown(SphinxDirective):
    """What is generated is Markdown of the page it is in."""

    def parsed(self, text: str) -> list[nodes.Node]:
        here = nodes.Element()
        lines = StringList(text.splitlines(), self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, here, match_titles=True)
        return here.children


class Written(Markdown):
    """``{written} formulas``: a text that a function of `written` gives."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parsed("\n".join(WRITTEN[self.arguments[0]]()))


class Api(Markdown):
    """``{api} gradparity.core`` and names, one or more on a line."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        (module,) = self.arguments
        home = homes(self.config.public_modules)
        public = names(self.config.public_modules)
        things = {name: thing for at, name, thing in public if at == module}
        found: list[nodes.Node] = []
        if module not in self.env.domains.python_domain.modules:
            found += self.parsed(f"```{{py:module}} {module}\n```")
        for name in " ".join(self.content).split():
            full = f"{module}.{name}"
            if name not in things:
                logger.warning("%s is not public", full, location=self.get_location())
            elif inspect.ismodule(things[name]):
                said = (things[name].__doc__ or "").partition("\n")[0]
                found += self.parsed(f"* {{py:mod}}`{full}`: {said}")
            elif home[full] == full:
                found += self.parsed(f"```{{eval-rst}}\n{_autodoc(full, things[name])}\n```")
            else:
                found += self.elsewhere(full, home[full])
        return found

    def elsewhere(self, full: str, home: str) -> list[nodes.Node]:
        """A line for what is documented under another name, and a target for this one."""
        (line,) = self.parsed(f"`{full}`: see {{py:obj}}`{home}`")
        assert isinstance(line, nodes.Element)
        line["ids"].append(full)
        self.env.domains.python_domain.note_object(full, "data", full, aliased=True, location=line)
        return [line]


def _autodoc(full: str, thing: Any) -> str:
    """The directive for one name."""
    if inspect.isclass(thing):
        own = members(thing)
        return f".. autoclass:: {full}\n" + (f"   :members: {', '.join(own)}\n" if own else "")
    if callable(thing):
        return f".. autofunction:: {full}\n"
    module, _, name = full.rpartition(".")
    return f".. py:data:: {name}\n   :module: {module}\n\n   {comment(module, name, thing)}\n"


def _outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to pages of the repository that are not built are but their names."""
    up = "../" * (page.count("/") + 1)
    source[0] = re.sub(rf"\[([^\]]+)\]\({re.escape(up)}[^)]+\)", r"`\1`", source[0])


def _docstring(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Docstrings are plain text; an op's leads to its formula."""
    lines[:] = rst(lines)
    if inspect.isclass(thing) and thing.__name__ in _formulas():
        target = f"formula-{thing.__name__.lower()}"
        lines += ["", f"Its code: :ref:`formula and derivative <{target}>`.", ""]


@cache
def _formulas() -> frozenset[str]:
    """The names of the ops and divergences that have a formula."""
    from gradparity.comparisons.lecture.formulas import formulas

    return frozenset(formula.name for formula in formulas())


def _complete(app: Sphinx, env: BuildEnvironment) -> None:
    """Whatever is public has a docstring, and a place in the reference."""
    for name in undocumented(app.config.public_modules):
        logger.warning("%s is public and has no docstring", name)
    shown = env.domains.python_domain.objects
    for name in homes(app.config.public_modules):
        if name not in shown:
            logger.warning("%s is public and on no page of the reference", name)


def _by_short_name(app: Sphinx, env: BuildEnvironment, node: Any, text: Any) -> Any:
    """`Case` in a docstring of any module means the public one, as a module is its page."""
    target = node.get("reftarget", "")
    full = homes(app.config.public_modules)
    found = {home for name, home in full.items() if name.endswith(f".{target}")}
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", found.pop(), node, text
    )
