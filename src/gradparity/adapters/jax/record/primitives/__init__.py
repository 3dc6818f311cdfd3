"""Which op of the core every primitive of a jaxpr is: the table of rules, by family."""

from . import (  # noqa: F401  # each registers its rules
    contractions,
    elementwise,
    indexing,
    movements,
    reductions,
)
