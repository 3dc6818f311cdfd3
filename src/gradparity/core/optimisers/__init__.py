"""The rules of optimisers: how a step changes parameters and state, by hand and for any array."""
