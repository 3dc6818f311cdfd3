"""JAX's functions for the ops of `core.vocabulary`, by family."""
