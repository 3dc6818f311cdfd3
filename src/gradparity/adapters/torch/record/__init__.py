"""A PyTorch program watched as it is: every op, forward and backward."""
