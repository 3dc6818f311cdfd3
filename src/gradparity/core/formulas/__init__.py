"""Hand-derived formulas: ops, activations, layers, maxima and divergences."""
