"""Which op of the core every ATen op is: the table of rules, by family."""

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
