"""Pairs of models, one a port of the other, with planted faults: what `gp.align` finds in them."""
