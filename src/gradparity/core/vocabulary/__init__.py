"""Ops of real networks beyond the lecture's: one record each, by family."""
