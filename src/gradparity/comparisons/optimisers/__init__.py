"""The step of an optimiser against its rule."""
