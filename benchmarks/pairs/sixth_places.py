"""Patterns of places that several files of the sixth set name."""

from __future__ import annotations

__all__ = ["ATTEND", "LOSS", "NORM", "NORM_OR_POW"]

ATTEND = "attention|softmax|mul|div|mm|dot|split|chunk|slice|select|reshape|view|expand|repeat"
LOSS = "nll|cross|loss|gather|log_softmax|mean|div|sum|where|mul|select|softmax"
NORM = "norm|mean|var|rsqrt|sqrt|reduce_sum|div|sub|add|mul|integer_pow|square"
NORM_OR_POW = f"{NORM}|pow"
