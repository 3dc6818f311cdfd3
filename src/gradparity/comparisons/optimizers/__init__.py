"""The step of an optimizer against its rule."""
