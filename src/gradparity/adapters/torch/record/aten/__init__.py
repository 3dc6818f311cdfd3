"""The table of rules, by family: the op of the core that each ATen op is."""

from . import (  # noqa: F401  # each registers its rules
    attention,
    contractions,
    elementwise,
    indexing,
    losses,
    movements,
    norms,
    placed,
    reductions,
    windows,
)
