"""Layers in NumPy with backward passes of their own, as courses write them."""
