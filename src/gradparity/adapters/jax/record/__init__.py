"""A JAX function watched as it is: every equation of its jaxpr, forward and backward."""
