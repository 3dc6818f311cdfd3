"""The table of rules, by family: the op of the core that each primitive of a jaxpr is."""

from . import (  # noqa: F401  # each registers its rules
    contractions,
    elementwise,
    indexing,
    movements,
    reductions,
)
