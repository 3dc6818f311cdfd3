"""Subgradients of the frameworks at kinks, measured and compared with a stored measurement."""
