"""The lecture beyond backprop: the scalar form, gradient descent, training."""
