"""The rules of optimizers: how a step changes parameters and state, by hand and for any array."""
