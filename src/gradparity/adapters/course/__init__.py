"""Layers in NumPy with a backward pass each, as courses write them."""
