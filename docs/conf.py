"""Sphinx: `python -m sphinx -W --keep-going -b html docs build/docs`, without a network."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "gradparity"
author = "the gradparity authors"
copyright = "the gradparity authors"
release = metadata.version("gradparity")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "reference"]
exclude_patterns = ["_ext"]

# Pages are plain Markdown, so that they read as well on a Git host.
myst_heading_anchors = 4
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
smartquotes = False  # docstrings are full of code
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "py:obj"  # what docstrings have between single backticks

# Whose `__all__` is public, and what else is, by module; where a name is in several, the first
# is its home.
public_modules = {
    "gradparity": (),
    "gradparity.core": (),
    "gradparity.ops": (),
    "gradparity.optimizers": (),
    "gradparity.adapters": (),
    "gradparity.comparisons": (),
    "gradparity.testing": (),
    "gradparity.testing.conformance": (),
    "gradparity.core.arithmetic.arrays": ("usual",),
    "gradparity.core.arithmetic.bounded": ("supported",),
    "gradparity.core.network.declared": ("FormulaError",),
    "gradparity.core.lecture.descent": (
        "Descent",
        "FirstOrder",
        "Stationary",
        "constant",
        "exponential",
        "inverse_time",
    ),
    "gradparity.adapters.kinks": ("Answer", "Kinks", "NativeKink", "Question"),
    "gradparity.comparisons.findings.elements": ("Element",),
    "gradparity.comparisons.report.graph": ("Graph", "GraphNode"),
    "gradparity.comparisons.lecture.formulas": ("Formula", "formulas"),
}

html_theme = "furo"
html_title = f"gradparity {release}"
html_show_sphinx = False
html_copy_source = False
